// SPDX-License-Identifier: Apache-2.0
#include "core/step/step_runner.h"

#include <algorithm>
#include <new>

#include "core/base/error.h"
#include "core/nn/initial_values.h"
#include "core/ops/elementwise.h"
#include "core/tensor/flat_range.h"

namespace strata {
namespace {

constexpr size_t kDevice = static_cast<size_t>(Tier::device);

Allocator& host_memory(const StepStreams& streams, Allocator& allocator) {
  check(streams.host_memory || streams.compute.device().kind == DeviceKind::cpu,
        "[step] {} needs host memory that it reaches", to_string(streams.compute.device()));
  return streams.host_memory ? *streams.host_memory : allocator;
}

}  // namespace

StepRunner::StepRunner(const StepPlan& plan, const StepStreams& streams, Allocator& allocator, ClipRule clip,
                       ExecutorOptions executor, BackingStore* store)
    : plan_(plan),
      model_(plan.model()),
      stream_(streams.compute),
      communication_(streams.communication),
      allocator_(allocator),
      clip_(std::move(clip)),
      host_to_device_(streams.host_to_device),
      device_to_host_(streams.device_to_host),
      store_(store),
      batches_(plan.geometry(), stream_.device(), allocator, host_memory(streams, allocator)) {
  check(stream_.device() == plan.target(), "[step] planned for {}, run on {}", to_string(plan.target()),
        to_string(stream_.device()));
  check(!plan.trains() || clip_, "[step] a plan that trains needs a clip rule");
  check(!plan.exchange() || communication_, "[step] several ranks need a stream for communication");
  check(!plan.quantizes_activations() || (host_to_device_ && device_to_host_),
        "[step] activations in 8 bits need streams of the lanes between host and device");
  if (model_.rotary)
    rope_ = make_rope_table(stream_, allocator, model_.spec.rope, model_.spec.max_positions,
                            model_.spec.head_dim);
  check(store_ || plan.stored_values().empty(), "[step] a plan with values on nvme needs a store");
  arena_ = allocator.allocate(plan.arena_bytes(), "arena");
  if (const int64_t bytes = plan.arena_bytes(Tier::host); bytes > 0)
    host_arena_ = host_memory(streams, allocator).allocate(bytes, "host arena");
  scalars_ = host_memory(streams, allocator).allocate(sizeof(StepScalars), "step scalars");
  new (scalars_->data()) StepScalars{};
  bind_shards();

  ArenaBases bases{};
  bases[kDevice] = arena_->data();
  if (host_arena_) bases[static_cast<size_t>(Tier::host)] = host_arena_->data();
  const auto bind = [&](const LinkedProgram& linked) {
    return std::make_unique<ActionViews>(model_, plan.layout(), plan.linear(), linked, stream_,
                                         arena_->data());
  };
  evaluate_views_ = bind(plan.evaluate());
  evaluate_executor_ = std::make_unique<Executor>(plan.evaluate(), handlers(), bases, with_order({}));
  if (plan.trains()) {
    train_views_ = bind(plan.train());
    find_parts();
    train_executor_ =
        std::make_unique<Executor>(plan.train(), handlers(), bases, with_order(std::move(executor)));
  }
}

StepRunner::~StepRunner() = default;

// Handlers only enqueue: where a lane waits for another one's action, its stream waits for that stream.
ExecutorOptions StepRunner::with_order(ExecutorOptions options) {
  // What drives do is done when the executor calls it ended, and begins when memory is ready.
  options.end = [this](const Invocation& invocation) { end_move(invocation); };
  for (OnTheirWay* lane : {&reads_, &writes_})
    lane->ring.resize(std::max(lane->ring.size(), static_cast<size_t>(options.most_begun)));
  options.mark = [this](Lane lane) { return overlaps(lane) ? Event() : stream_of(lane).record(); };
  options.follow = [this](Lane lane, const Event& event) {
    if (overlaps(lane))
      event.wait();
    else
      stream_of(lane).wait(event);
  };
  if (options.inspect)
    options.inspect = [this, given = options.inspect](const Invocation& invocation) {
      if (!left_out(invocation)) given(invocation);
    };
  if (options.trace && stream_.device().kind == DeviceKind::cuda) {
    clock_ = std::make_unique<ActionClock>(options.trace,
                                           [this](Lane lane) -> Stream& { return stream_of(lane); });
    options.trace = [this, of_drives = options.trace](const ActionEvent& event) {
      overlaps(event.lane) ? of_drives(event) : clock_->end(event);
    };
  }
  return options;
}

// The sum that norm and update read: made once a step.
std::byte* StepRunner::final_gradients(int block) const {
  const Value value{.cls = ValueClass::grad,
                    .block = static_cast<int16_t>(block),
                    .level = static_cast<uint8_t>(plan_.layout().partition().state_level())};
  const auto& buffers = plan_.train().buffers;
  const auto at =
      std::find_if(buffers.begin(), buffers.end(), [&](const PlannedBuffer& b) { return b.value == value; });
  return arena_->data() + at->offset;
}

void StepRunner::bind_shards() {
  own_.resize(static_cast<size_t>(model_.num_blocks()));
  was_put_back_.assign(static_cast<size_t>(model_.num_blocks()), false);
  for (int block = 0; block < model_.num_blocks(); ++block) is_away_.push_back(!values_away(block).empty());
  const StateLayout& layout = plan_.layout();
  const Partition& partition = layout.partition();
  const int weight_level = partition.weight_level(), state_level = partition.state_level();
  const int data_rank = plan_.rank().groups ? plan_.rank().groups->data_rank() : 0;
  const Device device = stream_.device();
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const BlockInfo& info = plan_.evaluate().program.blocks[static_cast<size_t>(block)];
    if (!info.holds_weights()) continue;
    OwnShard& own = own_[static_cast<size_t>(block)];
    std::byte* const weights = place(ValueClass::weight, block);
    const StateBytes state{place(ValueClass::master, block), place(ValueClass::moments, block)};
    const bool trains = plan_.trains() && plan_.train().program.blocks[static_cast<size_t>(block)].trains();
    const bool gradients_here = trains && info.grad_home == Tier::device;
    std::byte* const gradients = gradients_here ? final_gradients(block) : nullptr;
    for (size_t i = 0; i < model_.parameters(block).size(); ++i) {
      const Tensor held = weight_shard(layout, block, i, weight_level, device, weights);
      const int64_t ways = partition.shards(state_level) / partition.shards(weight_level),
                    count = held.numel() / ways;
      own.weight.push_back(held.slice(0, partition.shard(data_rank, state_level) % ways * count, count));
      own.gradient.push_back(gradients_here ? gradient_shard(layout, block, i, state_level, device, gradients)
                                            : Tensor());
      own.matrices.push_back(trains && !plan_.rule()->element_wise() ? matrices_of(model_, block, i)
                                                                     : std::vector<MatrixSpan>{});
      if (!own.matrices.back().empty())
        check(partition.shards(state_level) == 1,
              "[step] {} is split over {} ranks, and {} takes matrices whole",
              model_.parameters(block)[i].name, partition.shards(state_level), plan_.rule()->name());
      own.state.push_back(trains ? bind_state(layout, block, i, device, state) : std::vector<Tensor>{});
    }
  }
}

std::vector<std::span<std::byte>> StepRunner::memory_of_drives() const {
  std::vector<std::span<std::byte>> memory;
  if (host_arena_)
    memory.emplace_back(host_arena_->data(), static_cast<size_t>(plan_.arena_bytes(Tier::host)));
  if (stream_.device().kind == DeviceKind::cpu)
    memory.emplace_back(arena_->data(), static_cast<size_t>(plan_.arena_bytes()));
  return memory;
}

void StepRunner::initialize(uint64_t seed) {
  const StateLayout& layout = plan_.layout();
  const Partition& partition = layout.partition();
  const int data_rank = plan_.rank().groups ? plan_.rank().groups->data_rank() : 0;
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const OwnShard& own = own_[static_cast<size_t>(block)];
    const auto parameters = model_.parameters(block);
    for (size_t i = 0; i < own.weight.size(); ++i) {
      // What is kept in blocks is always somebody's model, and loaded.
      if (layout.place(block, i).format != WeightFormat::none) continue;
      const Tensor padded =
          make_tensor(allocator_, DType::f32, {layout.place(block, i).elements}, "initial values");
      fill_initial(stream_, parameters[i],
                   padded.slice(0, 0, parameters[i].shape.numel()).view(parameters[i].shape), seed);
      const auto shard = [&](int level) {
        const int64_t count = padded.numel() / partition.shards(level);
        return padded.slice(0, partition.shard(data_rank, level) * count, count);
      };
      if (plan_.rule() && parameters[i].trainable) {
        plan_.rule()->initialize(stream_, shard(partition.state_level()), own.weight[i], own.state[i]);
      } else {
        const int level = partition.weight_level();
        copy(stream_, shard(level),
             weight_shard(layout, block, i, level, stream_.device(), place(ValueClass::weight, block)));
      }
      stream_.synchronize();  // `padded` goes
    }
    if (!own.weight.empty() && is_away(block)) put_back(block);
  }
  weights_changed();
}

// Of tensors that several ranks hold, the first replica's first tensor rank's counts; of a tied table held
// twice, the embedding's.
bool StepRunner::speaks(int block, size_t parameter) const {
  if (plan_.rank().groups && plan_.layout().partition().replica(plan_.rank().groups->data_rank()) > 0)
    return false;
  const auto parameters = model_.parameters(block);
  if (parameters[parameter].value.kind == AxisPlacement::Kind::replicate && model_.split.part > 0)
    return false;
  return !(model_.twin_table() && block + 1 == model_.num_blocks() && parameter + 1 == parameters.size());
}

std::vector<LogicalState> StepRunner::logical_states() const {
  std::vector<LogicalState> states;
  const Partition& partition = plan_.layout().partition();
  const int data_rank = plan_.rank().groups ? plan_.rank().groups->data_rank() : 0;
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const OwnShard& own = own_[static_cast<size_t>(block)];
    const auto parameters = model_.parameters(block);
    for (size_t i = 0; i < own.weight.size(); ++i) {
      const WeightFormat format = plan_.layout().place(block, i).format;
      const int64_t count = plan_.layout().shard_elements(block, i, partition.state_level()),
                    first = partition.shard(data_rank, partition.state_level()) * count;
      const int64_t width = parameters[i].shape.numel() / std::max<int64_t>(parameters[i].shape[0], 1);
      for (const LogicalTensor& piece : parameters[i].pieces) {
        // The piece's elements among the parameter's, cut to this shard.
        const int64_t begin = piece.first_row * width, end = begin + piece.held.numel();
        for (const RangePart& part : rects_of_range(piece.held, std::clamp(first, begin, end) - begin,
                                                    std::clamp(first + count, begin, end) - begin)) {
          const auto elements = [&](const Tensor& shard) {
            return shard.slice(0, begin + part.begin - first, part.rect.numel()).view(part.rect.extent);
          };
          // Rows, and so the parts of them that shards hold, are whole blocks.
          const auto blocks = [&](const Tensor& shard) {
            const int64_t before = encoded_bytes(format, begin + part.begin - first);
            return shard.slice(0, before, encoded_bytes(format, part.rect.numel()));
          };
          LogicalState& state = states.emplace_back(LogicalState{
              .name = piece.name,
              .shape = piece.shape,
              .held = part.rect,
              .init = piece.init,
              .role = parameters[i].role,
              .trained = parameters[i].trainable,
              .speaks = speaks(block, i),
              .weight = format == WeightFormat::none ? elements(own.weight[i]) : blocks(own.weight[i]),
              .format = format,
              .block = block});
          if (own.gradient[i]) state.gradient = elements(own.gradient[i]);
          state.offset = begin + part.begin - first;
          for (size_t slot = 0; slot < own.state[i].size(); ++slot)
            state.state.push_back(plan_.layout().slots()[slot].element_wise() ? elements(own.state[i][slot])
                                                                              : own.state[i][slot]);
        }
      }
    }
  }
  return states;
}

void StepRunner::pack_block(std::span<const LinearWeight> weights, int block, Packed which) const {
  const auto own = model_.parameters(block);  // a tied table is packed by its owner
  for (size_t i = 0; i < own.size(); ++i)
    if (weights[i].is_packed() && (which == Packed::all || own[i].trainable))
      plan_.linear().pack(stream_, weights[i]);
}

void StepRunner::weights_changed() {
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const BlockInfo& info = plan_.evaluate().program.blocks[static_cast<size_t>(block)];
    if (!info.holds_weights()) continue;
    if (info.state_level > info.weight_level) {
      if (is_away(block)) fetch(block);
      plan_.exchange()->spread(stream_, block, place(ValueClass::weight, block), StateExchange::Spread::all);
      if (is_away(block)) put_back(block);
    }
    if (info.keeps_packed()) pack_block(weights(block), block, Packed::all);
  }
  stream_.synchronize();
}

std::span<const LinearWeight> StepRunner::weights(int block) const {
  const LinkedProgram& linked = plan_.evaluate();
  for (int32_t i = 0; i < static_cast<int32_t>(linked.program.list.size()); ++i) {
    const Action& action = linked.program.list[static_cast<size_t>(i)];
    if (action.block == block && (action.kind == Kind::forward || action.kind == Kind::loss_only))
      return evaluate_views_->weights(i);
  }
  fail_contract(fmt::format("[step] block {} is not on this rank", block));
}

int64_t StepRunner::over_all_ranks(int64_t targets) const {
  if (!plan_.rank().groups) return targets;
  plan_.rank().groups->data().all_reduce(stream_, Tensor::borrow(&targets, DType::i64, {1}));
  stream_.synchronize();
  return targets;
}

void StepRunner::run(Executor& executor) {
  if (clock_) clock_->begin_step();
  executor.run_step();
  executor.drain();
  stream_.synchronize();
  for (Stream* stream : {communication_, host_to_device_, device_to_host_})
    if (stream) stream->synchronize();
  if (clock_) clock_->end_step();
}

StepScalars StepRunner::train_step(std::span<const Batch> batches, const Scalars& update) {
  check(static_cast<int>(batches.size()) == plan_.geometry().micro_batches, "[step] {} batches, planned {}",
        batches.size(), plan_.geometry().micro_batches);
  int64_t targets = 0;
  for (const Batch& batch : batches) targets += batch.num_targets;
  targets = over_all_ranks(targets);
  if (targets == 0)
    throw Error(Fault::data,
                {.what = "a step has nothing to learn from: no token has a target",
                 .found = fmt::format("{} tokens, all of them the last of their document",
                                      static_cast<int64_t>(batches.size()) * plan_.geometry().tokens()),
                 .expected = "documents of two tokens or more",
                 .fix = "check data.document, or use data.packing = \"concat\""});
  const float loss_scale = static_cast<float>(1.0 / static_cast<double>(targets));
  for (size_t i = 0; i < batches.size(); ++i) batches_.set(i, batches[i], loss_scale);
  batches_.upload(stream_, batches.size());
  views_ = train_views_.get();
  const bool deferred = plan_.timing() == Timing::deferred;
  ++steps_;
  if (!deferred) know_update(update);
  run(*train_executor_);
  if (!deferred) return scalars();
  know_update(update);
  if (commit_note_) note_ = commit_note_(first_step_ + steps_, scalars());
  settled_ = false;
  return scalars();
}

void StepRunner::know_update(const Scalars& update) {
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const auto parameters = model_.parameters(block);
    for (size_t i = 0; i < parameters.size(); ++i)
      if (parameters[i].trainable) update_[static_cast<size_t>(block)][i] = update(parameters[i]);
  }
}

// (The parts that a tensor axis makes of a parameter follow one another.)
uint64_t StepRunner::first_element(int block, size_t parameter) const {
  const Partition& partition = plan_.layout().partition();
  const int level = partition.state_level();
  const int64_t count = plan_.layout().shard_elements(block, parameter, level);
  const int data_rank = plan_.rank().groups ? plan_.rank().groups->data_rank() : 0;
  const bool cut = model_.parameters(block)[parameter].value.kind != AxisPlacement::Kind::replicate;
  const int64_t part = cut ? model_.split.part : 0;
  const int64_t of_part =
      round_up(plan_.layout().place(block, parameter).elements, block_of(plan_.layout().slots()));
  return static_cast<uint64_t>(part * of_part + partition.shard(data_rank, level) * count);
}

LossSum StepRunner::evaluate(const Batch& batch) {
  settle();
  batches_.set(0, batch, 1);
  batches_.upload(stream_, 1);
  views_ = evaluate_views_.get();
  run(*evaluate_executor_);
  return scalars().loss;
}

}  // namespace strata
