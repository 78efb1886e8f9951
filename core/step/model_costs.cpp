// SPDX-License-Identifier: Apache-2.0
#include "core/step/model_costs.h"

#include <algorithm>

#include "core/program/backing_store.h"
#include "core/step/bindings.h"
#include "core/step/scalars.h"

namespace strata {
namespace {

// A micro-batch without bytes: one document per row.
struct MetaBatch {
  MetaBatch(const Geometry& geometry, int pieces) : run{.count = geometry.tokens()} {
    const Device device{DeviceKind::meta, 0};
    for (Tensor* tensor : {&batch.ids, &batch.targets, &batch.positions})
      *tensor = Tensor::borrow(nullptr, DType::i32, {geometry.tokens()}, device);
    const auto length = narrow<int32_t>(geometry.seq_len);
    for (int32_t row = 0; row < geometry.rows; ++row)
      segments.push_back(
          {.q_begin = row * length, .q_count = length, .k_begin = row * length, .k_count = length});
    batch.segments = segments;
    batch.runs = {&run, 1};
    // Balanced chunks: of a piece that visits, a rank's queries see half, as they do of their own.
    visits.assign(static_cast<size_t>(pieces) - 1, segments);
    batch.visits = visits;
  }
  std::vector<AttentionSegment> segments;
  std::vector<std::vector<AttentionSegment>> visits;
  TokenRun run;
  TokenBatch batch;
};

}  // namespace

ModelCosts::ModelCosts(const Model& model, const Geometry& geometry, const StateLayout& layout,
                       const LinearOp& linear, Device target, const Rates& rates, const Meetings& meetings,
                       const TierOptions& tiers, const UpdateRule* rule)
    : model_(model),
      layout_(layout),
      linear_(linear),
      rates_(rates),
      target_(target),
      meetings_(meetings),
      micro_batches_(geometry.micro_batches),
      rows_(meetings.boundaries[Point::embed_out].rows(geometry.tokens())),
      quantized_(activation_shape(), target) {
  sizes_.resize(static_cast<size_t>(model.num_blocks()));
  for (int block = 0; block < model.num_blocks(); ++block) {
    BlockSizes& sizes = sizes_[static_cast<size_t>(block)];
    for (const Parameter& parameter : model.parameters(block)) {
      const int64_t count = parameter.shape.numel();
      sizes.parameters += count;
      if (parameter.trainable) sizes.trainable += count;
      sizes.largest_parameter = std::max(sizes.largest_parameter, count);
    }
  }
  for (int block = 0; block + 1 < model.num_blocks(); ++block) measure_block(block, geometry, target);
  measure_head(geometry, target);
  if (tiers.activation_format == ActivationFormat::fp8) measure_quantizing();
  if (rule && !rule->element_wise())
    for (int block = 0; block < model.num_blocks(); ++block) measure_update(block, *rule);
  infos_ = describe(layout.trains());
  settle(
      tiers,
      [&](ValueClass cls, int block) {
        if (cls == ValueClass::x)
          return block == 0 ? int64_t{0} : sizes_[static_cast<size_t>(block) - 1].output;
        if (cls == ValueClass::grad && !layout.trains()) return int64_t{0};
        return layout.bytes(
            cls, block,
            cls == ValueClass::weight ? layout.partition().weight_level() : layout.partition().state_level());
      },
      infos_);
}

void ModelCosts::measure_update(int block, const UpdateRule& rule) {
  MetaStream stream(target_);
  const auto parameters = model_.parameters(block);
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].trainable) continue;
    const std::vector<MatrixSpan> matrices = matrices_of(model_, block, i);
    if (matrices.empty()) continue;  // their bytes are counted as of any rule
    const int64_t elements = parameters[i].shape.numel();
    const auto borrow = [&](DType dtype, int64_t entries) {
      return Tensor::borrow(nullptr, dtype, {entries}, stream.device());
    };
    std::vector<Tensor> state;
    for (const StateSlot& slot : rule.slots()) state.push_back(borrow(slot.dtype, slot.entries(elements)));
    rule.update(stream, {.weight = borrow(rule.weight_dtype(), elements),
                         .grad = borrow(DType::f32, elements),
                         .state = state,
                         .matrices = matrices});
  }
  sizes_[static_cast<size_t>(block)].update = {stream.scratch().high_water(), stream.count};
}

void ModelCosts::measure_block(int block, const Geometry& geometry, Device target) {
  const Device meta{DeviceKind::meta, 0};
  const Block& code = *model_.blocks[static_cast<size_t>(block)];
  BlockSizes& sizes = sizes_[static_cast<size_t>(block)];
  const MetaBatch batch(geometry, meetings_.keys.pieces());
  MetaStream naming(target);
  const auto weights = bind_weights(model_, layout_, linear_, block, naming, {}, {});
  const auto gradients = bind_gradients(model_, layout_, block, meta, nullptr, nullptr);
  const Tensor x = Tensor::borrow(nullptr, model_.compute, activation_shape(), meta);
  auto allocator = make_meta_allocator();
  const RopeTable rope = model_.rotary ? make_rope_table(naming, *allocator, model_.spec.rope,
                                                         model_.spec.max_positions, model_.spec.head_dim)
                                       : RopeTable{};

  // Runs one action and notes its working memory and work.
  auto run = [&](Measured& measured, auto&& action) {
    MetaStream stream(target);
    Context ctx{.stream = stream,
                .batch = batch.batch,
                .boundaries = meetings_.boundaries,
                .linear = linear_,
                .rope = rope};
    ctx.keys = &meetings_.keys;
    ctx.training = layout_.trains();
    ctx.output = ctx.saved_input = ctx.saved_weight = ctx.deferred = Region::counting();
    action(ctx);
    measured = {stream.scratch().high_water(), stream.count};
  };
  run(sizes.forward, [&](Context& ctx) {
    sizes.output = code.forward(ctx, weights, x).bytes();
    sizes.saved_input = ctx.saved_input.used();
    sizes.saved_weight = ctx.saved_weight.used();
  });
  run(sizes.forward_discard, [&](Context& ctx) {
    ctx.saved_input = ctx.saved_weight = Region::temporary(ctx.stream.scratch(), meta);
    code.forward(ctx, weights, x);
  });
  if (!layout_.trains()) return;
  if (block > 0)
    run(sizes.backward_input, [&](Context& ctx) {
      code.backward_input(ctx, weights, x, x);
      sizes.deferred = ctx.deferred.used();
    });
  run(sizes.backward_weight, [&](Context& ctx) {
    code.backward_weight(ctx, {gradients, Write::accumulate}, x, x);
  });
}

void ModelCosts::measure_head(const Geometry& geometry, Device target) {
  const Device meta{DeviceKind::meta, 0};
  const MetaBatch batch(geometry, meetings_.keys.pieces());
  const int head = model_.num_blocks() - 1;
  MetaStream naming(target);
  const auto weights = bind_weights(model_, layout_, linear_, head, naming, {}, {});
  const auto gradients = bind_gradients(model_, layout_, head, meta, nullptr, nullptr);
  const Tensor x = Tensor::borrow(nullptr, model_.compute, activation_shape(), meta);
  BlockSizes& sizes = sizes_.back();
  LossSum sum;
  auto run = [&](Measured& measured, auto&& action) {
    MetaStream stream(target);
    Context ctx{.stream = stream,
                .batch = batch.batch,
                .boundaries = meetings_.boundaries,
                .linear = linear_,
                .rope = {}};
    ctx.output = Region::counting();
    action(ctx);
    measured = {stream.scratch().high_water(), stream.count};
  };
  if (layout_.trains())
    run(sizes.loss, [&](Context& ctx) {
      model_.head->loss(ctx, weights, {gradients, Write::accumulate}, x, &sum);
    });
  run(sizes.loss_only, [&](Context& ctx) { model_.head->loss_only(ctx, weights, x, &sum); });
}

void ModelCosts::measure_quantizing() {
  for (Measured* measured : {&quantize_, &dequantize_}) {
    MetaStream stream(target_);
    const Tensor x = Tensor::borrow(nullptr, model_.compute, activation_shape(), stream.device());
    measured == &quantize_ ? quantized_.store(stream, x, nullptr) : quantized_.load(stream, nullptr, x);
    *measured = {stream.scratch().high_water(), {.bytes = x.bytes() + quantized_.bytes()}};
  }
}

bool ModelCosts::is_quantized(const Value& value) const {
  return value.block >= 0 && value.block < static_cast<int>(infos_.size()) &&
         infos_[static_cast<size_t>(value.block)].is_quantized(value);
}

// Whether drives read it from where it lies, and write to there: whole pages. (Those of codes do so on the
// host.)
bool ModelCosts::streams(const Value& value) const {
  if (value.block < 0 || value.block >= static_cast<int>(infos_.size())) return false;
  const BlockInfo& info = infos_.at(static_cast<size_t>(value.block));
  if (info.x_quantized && value.cls == ValueClass::x && value.tier == Tier::device) return false;
  return info.home(value.cls) == Tier::nvme && info.travels(value);
}

int64_t ModelCosts::alignment(const Value& value) const {
  return streams(value) ? kStoreAlignment : kTensorAlignment;
}

int64_t ModelCosts::bytes(const Value& value) const {
  switch (value.cls) {
    case ValueClass::x:
    case ValueClass::dx: {
      const int64_t bytes =
          is_quantized(value) ? quantized_.bytes() : sizes_.at(static_cast<size_t>(value.block) - 1).output;
      return streams(value) ? round_up(bytes, kStoreAlignment) : bytes;
    }
    case ValueClass::saved_input:
      return sizes_.at(static_cast<size_t>(value.block)).saved_input;
    case ValueClass::saved_weight:
      return sizes_.at(static_cast<size_t>(value.block)).saved_weight;
    case ValueClass::deferred:
      return sizes_.at(static_cast<size_t>(value.block)).deferred;
    case ValueClass::weight:
    case ValueClass::packed:
    case ValueClass::grad:
    case ValueClass::master:
    case ValueClass::moments: {
      const int64_t bytes = layout_.bytes(value.cls, value.block, value.level);
      return streams(value) ? round_up(bytes, kStoreAlignment) : bytes;
    }
    case ValueClass::map:
      return 0;
    case ValueClass::scalars:
      return sizeof(StepScalars);
  }
  fail_contract("[costs] a value of no class");
}

ModelCosts::Measured ModelCosts::measure_exchange(const Action& action) const {
  check(meetings_.exchange != nullptr, "[costs] `{}` in a plan of one rank", action);
  const StateExchange& exchange = *meetings_.exchange;
  MetaStream stream(target_);
  const Tensor x = Tensor::borrow(nullptr, model_.compute, activation_shape(), stream.device());
  StepScalars scalars;
  switch (action.kind) {
    case Kind::gather:
      exchange.gather(stream, action.block, nullptr, nullptr);
      break;
    case Kind::reduce:
      exchange.reduce(stream, action.block, action.level, action.to, action.write, nullptr, nullptr);
      break;
    case Kind::complete:
      exchange.complete(stream, action.block, nullptr);
      break;
    case Kind::fold:
      exchange.fold(stream, action.block, nullptr, nullptr);
      break;
    case Kind::spread:
      exchange.spread(stream, action.block, nullptr);
      break;
    case Kind::tie:
      if (action.peer < 0)
        exchange.tie_here(stream, nullptr, nullptr);
      else
        exchange.tie(stream, action.block, exchange.any_peer(), nullptr);
      break;
    case Kind::send:
      exchange.send(stream, exchange.any_peer(), x);
      break;
    case Kind::receive:
      exchange.receive(stream, exchange.any_peer(), x);
      break;
    default:
      exchange.total(stream, scalars, true);
      break;
  }
  return {stream.scratch().high_water(), stream.count};
}

ModelCosts::Measured ModelCosts::measured(const Action& action) const {
  switch (action.kind) {
    case Kind::gather:
    case Kind::reduce:
    case Kind::complete:
    case Kind::fold:
    case Kind::spread:
    case Kind::tie:
    case Kind::send:
    case Kind::receive:
    case Kind::total: {
      const uint64_t name = static_cast<uint64_t>(action.kind) << 48 |
                            uint64_t{static_cast<uint16_t>(action.block)} << 32 |
                            uint64_t{action.level} << 24 | uint64_t{action.to} << 16 |
                            static_cast<uint64_t>(action.write) << 8 | (action.peer < 0 ? 1 : 0);
      const auto at = exchanges_.find(name);
      return at != exchanges_.end() ? at->second
                                    : exchanges_.emplace(name, measure_exchange(action)).first->second;
    }
    default:
      break;
  }
  if (action.block < 0) return {};
  const BlockSizes& sizes = sizes_.at(static_cast<size_t>(action.block));
  switch (action.kind) {
    case Kind::store:
      return action.tier == Tier::device && is_quantized(moved_to(action)) ? quantize_ : Measured{};
    case Kind::load:
      return action.onto == Tier::device && is_quantized(moved_from(action)) ? dequantize_ : Measured{};
    case Kind::forward:
      return action.keep == Keep::save ? sizes.forward : sizes.forward_discard;
    case Kind::recompute:
      return sizes.forward;
    case Kind::backward_input:
      return sizes.backward_input;
    case Kind::backward_weight:
      return sizes.backward_weight;
    case Kind::loss:
      return sizes.loss;
    case Kind::loss_only:
      return sizes.loss_only;
    case Kind::update:
      return sizes.update;
    case Kind::pack: {
      MetaStream stream(target_);
      const auto weights = bind_weights(model_, layout_, linear_, action.block, stream, {}, {});
      for (size_t i = 0; i < model_.parameters(action.block).size(); ++i)
        if (weights[i].is_packed()) linear_.pack(stream, weights[i]);
      return {stream.scratch().high_water(), stream.count};
    }
    default:
      return {};
  }
}

int64_t ModelCosts::scratch_bytes(const Action& action) const {
  // A recomputed block's result is not a value: it goes to working memory.
  const int64_t result = action.kind == Kind::recompute
                             ? round_up(sizes_.at(static_cast<size_t>(action.block)).output, kTensorAlignment)
                             : 0;
  return measured(action).scratch + result;
}

WorkCount ModelCosts::work(const Action& action) const {
  WorkCount work = measured(action).work;
  if (action.block < 0) return work;
  const BlockSizes& sizes = sizes_.at(static_cast<size_t>(action.block));
  const int state_level = layout_.partition().state_level();
  switch (action.kind) {
    case Kind::norm:
      work.bytes = layout_.bytes(ValueClass::grad, action.block, state_level);
      break;
    case Kind::update:
      work.bytes +=
          layout_.bytes(ValueClass::grad, action.block, state_level) +
          2 * (layout_.bytes(ValueClass::master, action.block, state_level) +
               layout_.bytes(ValueClass::moments, action.block, state_level)) +
          2 * sizes.trainable / layout_.partition().shards(state_level) * size_of(layout_.weight_dtype());
      break;
    case Kind::pack:
      work.bytes = sizes.parameters * size_of(layout_.weight_dtype()) +
                   layout_.bytes(ValueClass::packed, action.block, 0);
      break;
    default:
      break;
  }
  return work;
}

double ModelCosts::seconds(const Action& action) const {
  return is_move(action) ? move_seconds(action) : seconds(work(action));
}

int64_t ModelCosts::moved_bytes(const Action& action) const {
  return bytes(action.kind == Kind::load ? moved_from(action) : moved_to(action));
}

double ModelCosts::move_seconds(const Action& action) const {
  const double rate = action.tier == Tier::nvme   ? rates_.disk_read
                      : action.onto == Tier::nvme ? rates_.disk_write
                      : action.kind == Kind::load ? rates_.host_to_device
                                                  : rates_.device_to_host;
  return static_cast<double>(moved_bytes(action)) / rate + seconds(measured(action).work);
}

double ModelCosts::seconds(const WorkCount& count) const {
  double wire = 0;
  for (size_t level = 0; level < kNumLinkLevels; ++level)
    wire += static_cast<double>(count.wire_bytes[level]) / rates_.wire_bytes[level];
  return wire + static_cast<double>(count.matmul_flops) / rates_.matmul_flops +
         static_cast<double>(count.attention_flops) / rates_.attention_flops +
         static_cast<double>(count.bytes) / rates_.bytes;
}

double ModelCosts::seconds_anywhere(const Action& action) const {
  if (is_move(action)) return move_seconds(action);
  const Partition& partition = layout_.partition();
  const auto bytes_of = [&](ValueClass cls, int level) { return layout_.bytes(cls, action.block, level); };
  int64_t moved = 0;
  switch (action.kind) {
    case Kind::gather:
      moved = bytes_of(ValueClass::weight, 0);
      break;
    case Kind::reduce:
      moved = bytes_of(ValueClass::grad, action.level);
      break;
    case Kind::complete:
    case Kind::tie:
      moved = bytes_of(ValueClass::grad, partition.state_level());
      break;
    case Kind::spread:
      moved = bytes_of(ValueClass::weight, partition.weight_level());
      break;
    case Kind::send:
    case Kind::receive:
      moved = bytes({.cls = action.cls, .block = action.block, .micro_batch = action.micro_batch});
      break;
    default:
      break;
  }
  WorkCount count = work(action);
  count.wire_bytes = {};
  count.wire_bytes[static_cast<size_t>(LinkLevel::node)] = moved;
  return seconds(count);
}

std::vector<BlockInfo> ModelCosts::block_infos(bool train) const {
  std::vector<BlockInfo> infos = describe(train);
  for (size_t b = 0; b < infos.size(); ++b) {
    infos[b].weight_home = infos_[b].weight_home;
    infos[b].grad_home = infos_[b].grad_home;
    infos[b].master_home = infos_[b].master_home;
    infos[b].moments_home = infos_[b].moments_home;
    infos[b].x_home = infos_[b].x_home;
    infos[b].x_quantized = infos_[b].x_quantized;
  }
  return infos;
}

std::vector<BlockInfo> ModelCosts::describe(bool train) const {
  std::vector<BlockInfo> infos;
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const BlockSizes& sizes = sizes_[static_cast<size_t>(block)];
    const auto parameters = model_.parameters(block);
    const auto is_partial = [](const Parameter& p) {
      return p.trainable && p.gradient.kind == AxisPlacement::Kind::partial;
    };
    infos.push_back({.has_parameters = sizes.parameters > 0,
                     .trainable = train && sizes.trainable > 0,
                     .packed = layout_.bytes(ValueClass::packed, block, 0) > 0,
                     .saves_input = sizes.saved_input > 0,
                     .saves_weight = sizes.saved_weight > 0,
                     .defers = sizes.deferred > 0,
                     .partial = std::any_of(parameters.begin(), parameters.end(), is_partial),
                     .has_master = layout_.bytes(ValueClass::master, block, 0) > 0,
                     .has_moments = layout_.bytes(ValueClass::moments, block, 0) > 0});
  }
  for (BlockInfo& info : infos) layout_.partition().describe(info);
  if (model_.tied()) infos.back().tied_to = 0;
  // Copies of a table that is not trained stay alike without a word.
  if (model_.twin_table() && model_.parameters(0)[0].trainable) {
    infos.front().twin = static_cast<int16_t>(infos.size() - 1);
    infos.back().twin = 0;
  }
  return infos;
}

int64_t ModelCosts::model_flops() const {
  WorkCount total;
  for (const BlockSizes& sizes : sizes_)
    total =
        total + sizes.forward.work + sizes.backward_input.work + sizes.backward_weight.work + sizes.loss.work;
  return (total.matmul_flops + total.attention_flops) * micro_batches_;
}

}  // namespace strata
