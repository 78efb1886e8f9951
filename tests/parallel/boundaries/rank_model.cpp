// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/boundaries/rank_model.h"

#include <array>

#include "core/base/hash.h"
#include "core/nn/initial_values.h"
#include "core/ops/elementwise.h"

namespace strata {

float test_value(const LogicalTensor& piece, int64_t at) {
  const uint64_t bits = mix64(hash_name(piece.name) + static_cast<uint64_t>(at));
  const double uniform = static_cast<double>(bits >> 11) / 9007199254740992.0 * 2 - 1;
  return static_cast<float>(piece.init.kind == Init::Kind::ones ? 1 + uniform / 4 : uniform / 3);
}

// The values of a block, each in memory of its own that begins as NaN.
class RankModel::Values {
 public:
  Values() = default;
  Values(const RankModel& rank, const BlockSizes& sizes) : meta_(rank.meta()) {
    const std::array bytes{sizes.output, sizes.saved_input, sizes.saved_weight, sizes.deferred, sizes.dx};
    for (size_t i = 0; !meta_ && i < bytes.size(); ++i) {
      buffers_[i] = rank.allocator_->allocate(bytes[i], "value");
      spoil(i);
    }
  }
  Region output() const { return region(0); }
  Region saved_input() const { return region(1); }
  Region saved_weight() const { return region(2); }
  Region deferred() const { return region(3); }
  Region dx() const { return region(4); }
  void end_saved_input() const {
    if (!meta_) spoil(1);
  }

 private:
  Region region(size_t i) const {
    return meta_ ? Region::counting() : Region(buffers_[i]->data(), buffers_[i]->bytes(), Device{});
  }
  void spoil(size_t i) const { std::fill_n(buffers_[i]->data(), buffers_[i]->bytes(), std::byte{0xFF}); }

  bool meta_ = true;
  std::array<BufferRef, 5> buffers_;
};

struct RankModel::Action {
  const BoundarySet& boundaries;
  const KvExchange& keys;
  const Values& values;
  int64_t& scratch;
  WorkCount& work;
};

RankModel::RankModel(const Model& model, const Batch& batch, int64_t all_targets, Stream& stream)
    : model_(model),
      stream_(stream),
      allocator_(stream.device().kind == DeviceKind::meta ? make_meta_allocator() : make_cpu_allocator()),
      host_(batch) {
  attention_visits(host_, visits_);
  auto borrow = [&](std::vector<int32_t>& values) {
    return Tensor::borrow(meta() ? nullptr : values.data(), DType::i32, {host_.rows * host_.seq_len},
                          stream.device());
  };
  batch_ = {.ids = borrow(host_.tokens),
            .targets = borrow(host_.targets),
            .positions = borrow(host_.positions),
            .segments = visits_[0],
            .visits = std::span(visits_).subspan(1),
            .loss_scale = static_cast<float>(1.0 / static_cast<double>(all_targets))};
  if (model.rotary)
    rope_ =
        make_rope_table(stream, *allocator_, model.spec.rope, model.spec.max_positions, model.spec.head_dim);
  for (int block = 0; block < model.num_blocks(); ++block) make_parameters(block);
  if (model.tied()) {
    weights_.back().push_back(weights_[0][0]);
    gradients_.back().push_back(gradients_[0][0]);
  }
}

Tensor RankModel::tensor(DType dtype, const Shape& shape) {
  return meta() ? Tensor::borrow(nullptr, dtype, shape, stream_.device())
                : make_tensor(*allocator_, dtype, shape, "parameter");
}

void RankModel::make_parameters(int block) {
  auto& weights = weights_.emplace_back();
  auto& gradients = gradients_.emplace_back();
  const LinearOp& linear = plain_linear_op();
  for (const Parameter& parameter : model_.parameters(block)) {
    weights.push_back({.weight = tensor(model_.compute, parameter.shape)});
    gradients.push_back(tensor(DType::f32, parameter.shape));
    if (!parameter.multiplied) continue;
    packed_.push_back(
        tensor(DType::u8, {linear.packed_bytes(stream_, model_.compute, parameter.shape, parameter.recipe)}));
    weights.back() = linear.bind(stream_, weights.back().weight, packed_.back().raw(), parameter.recipe);
  }
}

void RankModel::load(const std::string& shifted) {
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const auto parameters = model_.parameters(block);
    for (size_t i = 0; i < parameters.size(); ++i) {
      const LinearWeight& weight = weights_[static_cast<size_t>(block)][i];
      const Tensor values = make_tensor(*allocator_, DType::f32, parameters[i].shape, "values");
      for (const LogicalTensor& piece : parameters[i].pieces) {
        const int64_t shift = piece.name != shifted ? 0 : piece.shape.rank() == 2 ? piece.shape[1] : 1;
        float* const here = rows_of(piece, values).data<float>();
        for_held(piece, [&](int64_t at, int64_t element) {
          here[element] = test_value(piece, (at + shift) % piece.shape.numel());
        });
      }
      copy(stream_, values, weight.weight);
      if (weight.forward) plain_linear_op().pack(stream_, weight);
      stream_.synchronize();  // `values` goes
    }
  }
}

template <typename Body>
void RankModel::run_action(const Action& action, Body&& body) {
  Context ctx{.stream = stream_,
              .batch = batch_,
              .boundaries = action.boundaries,
              .linear = plain_linear_op(),
              .rope = rope_,
              .keys = &action.keys};
  ctx.saved_input = action.values.saved_input();
  ctx.saved_weight = action.values.saved_weight();
  ctx.deferred = action.values.deferred();
  if (meta()) {
    stream_.scratch().reset_high_water();
    meta_stream(stream_).count = {};
    body(ctx);
    action.scratch = stream_.scratch().high_water();
    action.work = meta_stream(stream_).count;
    return;
  }
  const Tensor memory = make_tensor(*allocator_, DType::u8, {action.scratch}, "working memory");
  std::fill_n(memory.raw(), action.scratch, std::byte{0xFF});
  stream_.scratch().bind(memory.raw(), action.scratch);
  stream_.scratch().reset_high_water();
  body(ctx);
  stream_.synchronize();
  if (stream_.scratch().high_water() != action.scratch)
    faults_.push_back(fmt::format("{} bytes of working memory planned, {} used", action.scratch,
                                  stream_.scratch().high_water()));
}

LossSum RankModel::run(const BoundarySet& boundaries, const KvExchange& keys, RankPlan& plan) {
  const size_t head = model_.blocks.size();
  plan.sizes.resize(head + 1);
  plan.work.resize(head + 1);
  std::vector<Tensor> x(head + 1), dx(head + 1);  // of block b: its input, and the gradient of that
  std::vector<Values> values;
  for (size_t b = 0; b <= head; ++b) values.emplace_back(*this, plan.sizes[b]);
  auto note = [&](int64_t& bytes, const Region& region) {
    if (meta()) bytes = region.used();
  };
  LossSum sum;
  for (size_t b = 0; b < head; ++b) {
    BlockSizes& sizes = plan.sizes[b];
    run_action({boundaries, keys, values[b], sizes.forward, plan.work[b].forward}, [&](Context& ctx) {
      ctx.output = values[b].output();
      x[b + 1] = model_.blocks[b]->forward(ctx, weights_[b], x[b]);
      note(sizes.output, ctx.output);
      note(sizes.saved_input, ctx.saved_input);
      note(sizes.saved_weight, ctx.saved_weight);
    });
  }
  run_action({boundaries, keys, values[head], plan.sizes[head].forward, plan.work[head].forward},
             [&](Context& ctx) {
               ctx.output = values[head].dx();
               const Gradients gradients{gradients_[head], Write::accumulate};
               dx[head] = model_.head->loss(ctx, weights_[head], gradients, x[head], &sum);
               note(plan.sizes[head].dx, ctx.output);
             });
  for (size_t b = head - 1; b > 0; --b) {
    BlockSizes& sizes = plan.sizes[b];
    run_action({boundaries, keys, values[b], sizes.backward_input, plan.work[b].backward_input},
               [&](Context& ctx) {
                 ctx.output = values[b].dx();
                 dx[b] = model_.blocks[b]->backward_input(ctx, weights_[b], x[b], dx[b + 1]);
                 note(sizes.dx, ctx.output);
                 note(sizes.deferred, ctx.deferred);
               });
    values[b].end_saved_input();
  }
  for (size_t b = 0; b < head; ++b)
    run_action({boundaries, keys, values[b], plan.sizes[b].backward_weight, plan.work[b].backward_weight},
               [&](Context& ctx) {
                 ctx.saved_input = Region::counting();
                 const Gradients gradients{gradients_[b], Write::accumulate};
                 model_.blocks[b]->backward_weight(ctx, gradients, x[b], dx[b + 1]);
               });
  stream_.synchronize();
  return sum;
}

}  // namespace strata
