// SPDX-License-Identifier: Apache-2.0
#include "core/step/step_runner.h"

#include <algorithm>
#include <new>

#include "core/base/error.h"
#include "core/nn/initial_values.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"

namespace strata {
namespace {

constexpr size_t kDevice = static_cast<size_t>(Tier::device);

}  // namespace

StepRunner::StepRunner(const StepPlan& plan, Stream& stream, Allocator& allocator, ClipRule clip,
                       ExecutorOptions executor)
    : plan_(plan), model_(plan.model()), stream_(stream), clip_(std::move(clip)) {
  check(stream.device() == plan.target(), "[step] planned for {}, run on {}", to_string(plan.target()),
        to_string(stream.device()));
  check(!plan.trains() || clip_, "[step] a plan that trains needs a clip rule");
  if (model_.rotary)
    rope_ = make_rope_table(allocator, model_.spec.rope, model_.spec.max_positions, model_.spec.head_dim);
  arena_ = allocator.allocate(plan.arena_bytes(), "arena");
  bind_views();

  const auto micro_batches = static_cast<size_t>(plan.geometry().micro_batches);
  visits_.resize(micro_batches);
  batches_.resize(micro_batches);
  ArenaBases bases{};
  bases[kDevice] = arena_->data();
  if (plan.trains())
    train_executor_ = std::make_unique<Executor>(plan.train(), handlers(), bases, std::move(executor));
  evaluate_executor_ = std::make_unique<Executor>(plan.evaluate(), handlers(), bases);
  new (&scalars()) StepScalars{};
}

StepRunner::~StepRunner() = default;

StepScalars& StepRunner::scalars() const {
  return *reinterpret_cast<StepScalars*>(arena_->data() +
                                         plan_.evaluate().home({.cls = ValueClass::scalars}).offset);
}

void StepRunner::bind_views() {
  std::vector<ValueBytes> bytes(static_cast<size_t>(model_.num_blocks()));
  const LinkedProgram& linked = plan_.trains() ? plan_.train() : plan_.evaluate();
  // Every persistent value, and the gradients, have one buffer each.
  for (const PlannedBuffer& buffer : linked.buffers) {
    if (buffer.value.block < 0) continue;
    std::byte* const base = arena_->data() + buffer.offset;
    ValueBytes& own = bytes[static_cast<size_t>(buffer.value.block)];
    switch (buffer.value.cls) {
      case ValueClass::weight:
        own.weight = base;
        break;
      case ValueClass::packed:
        own.packed = base;
        break;
      case ValueClass::grad:
        own.grad = base;
        break;
      case ValueClass::state:
        own.state = base;
        break;
      default:
        break;
    }
  }
  for (int block = 0; block < model_.num_blocks(); ++block)
    views_.emplace_back(model_, plan_.layout(), plan_.linear(), block, stream_,
                        bytes[static_cast<size_t>(block)], bytes[0]);
}

void StepRunner::initialize(uint64_t seed) {
  auto allocator = make_cpu_allocator();
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const auto parameters = model_.parameters(block);
    const ParameterViews& views = views_[static_cast<size_t>(block)];
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Tensor values = make_tensor(*allocator, DType::f32, parameters[i].shape, "initial values");
      fill_initial(stream_, parameters[i], values, seed);
      const Tensor& weight = views.weights()[i].weight;
      if (plan_.rule() && parameters[i].trainable)
        plan_.rule()->initialize(stream_, values, weight, views.state(i));
      else
        copy(stream_, values, weight);
      stream_.synchronize();  // `values` goes
    }
  }
  weights_changed();
}

std::vector<LogicalState> StepRunner::logical_states() const {
  std::vector<LogicalState> states;
  for (int block = 0; block < model_.num_blocks(); ++block) {
    const auto parameters = model_.parameters(block);
    const ParameterViews& views = views_[static_cast<size_t>(block)];
    for (size_t i = 0; i < parameters.size(); ++i)
      for (const LogicalTensor& piece : parameters[i].pieces) {
        auto rows = [&](const Tensor& physical) { return rows_of(piece, physical); };
        LogicalState& state = states.emplace_back(LogicalState{.name = piece.name,
                                                               .shape = piece.shape,
                                                               .held = piece.held,
                                                               .init = piece.init,
                                                               .role = parameters[i].role,
                                                               .weight = rows(views.weights()[i].weight)});
        if (views.gradients()[i]) state.gradient = rows(views.gradients()[i]);
        for (const Tensor& slot : views.state(i)) state.state.push_back(rows(slot));
      }
  }
  return states;
}

void StepRunner::pack_block(int block) {
  const size_t own = model_.parameters(block).size();  // a tied table is packed by its owner
  for (size_t i = 0; i < own; ++i) {
    const LinearWeight& weight = views_[static_cast<size_t>(block)].weights()[i];
    if (weight.forward) plan_.linear().pack(stream_, weight);
  }
}

void StepRunner::weights_changed() {
  for (int block = 0; block < model_.num_blocks(); ++block) pack_block(block);
  stream_.synchronize();
}

void StepRunner::bind_batch(const Batch& batch, size_t micro_batch, float loss_scale) {
  const Geometry& geometry = plan_.geometry();
  check(batch.rows == geometry.rows && batch.seq_len == geometry.seq_len,
        "[step] a batch of {} x {}, planned {} x {}", batch.rows, batch.seq_len, geometry.rows,
        geometry.seq_len);
  auto& visits = visits_[micro_batch];
  attention_visits(batch, visits);
  // The CPU reads the host's vectors in place.
  auto borrow = [&](const std::vector<int32_t>& values) {
    return Tensor::borrow(const_cast<int32_t*>(values.data()), DType::i32, {geometry.tokens()});
  };
  batches_[micro_batch] = {.ids = borrow(batch.tokens),
                           .targets = borrow(batch.targets),
                           .positions = borrow(batch.positions),
                           .segments = visits[0],
                           .visits = std::span(visits).subspan(1),
                           .loss_scale = loss_scale};
}

StepScalars StepRunner::train_step(std::span<const Batch> batches, const Scalars& update) {
  check(static_cast<int>(batches.size()) == plan_.geometry().micro_batches, "[step] {} batches, planned {}",
        batches.size(), plan_.geometry().micro_batches);
  int64_t targets = 0;
  for (const Batch& batch : batches) targets += batch.num_targets;
  if (targets == 0)
    throw Error(Fault::data,
                {.what = "a step has nothing to learn from: no token has a target",
                 .found = fmt::format("{} tokens, all of them the last of their document",
                                      static_cast<int64_t>(batches.size()) * plan_.geometry().tokens()),
                 .expected = "documents of two tokens or more",
                 .fix = "check data.document, or use data.packing = \"concat\""});
  const float loss_scale = static_cast<float>(1.0 / static_cast<double>(targets));
  for (size_t i = 0; i < batches.size(); ++i) bind_batch(batches[i], i, loss_scale);
  update_ = &update;
  train_executor_->run_step();
  train_executor_->drain();
  stream_.synchronize();
  update_ = nullptr;
  return scalars();
}

LossSum StepRunner::evaluate(const Batch& batch) {
  bind_batch(batch, 0, 1);
  evaluate_executor_->run_step();
  evaluate_executor_->drain();
  stream_.synchronize();
  return scalars().loss;
}

Context StepRunner::context(const Invocation& invocation) const {
  stream_.scratch().bind(invocation.scratch().data, invocation.scratch().bytes);
  const auto micro_batch = static_cast<size_t>(std::max<int16_t>(invocation.action().micro_batch, 0));
  return {.stream = stream_,
          .batch = batches_[micro_batch],
          .boundaries = boundaries_,
          .linear = plan_.linear(),
          .rope = rope_};
}

Region StepRunner::region(const Invocation& invocation, ValueClass cls, int block) const {
  const Operand* operand = invocation.find(cls, block);
  if (!operand) return Region::counting();  // exists no more, or never did: sizes are known, bytes are not
  const OperandBytes bytes = invocation.bytes_of(*operand);
  return Region(bytes.data, bytes.bytes, stream_.device());
}

Tensor StepRunner::activation(const Invocation& invocation, ValueClass cls, int block) const {
  const Operand* operand = invocation.find(cls, block);
  if (!operand) return {};
  return Tensor::borrow(invocation.bytes_of(*operand).data, model_.compute,
                        {plan_.geometry().tokens(), model_.spec.hidden}, stream_.device());
}

void StepRunner::forward(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(stream_.scratch());
  const bool recompute = invocation.action().kind == Kind::recompute;
  const bool keep = recompute || invocation.action().keep == Keep::save;
  // What nobody will read goes to working memory.
  auto temporary = [&] { return Region::temporary(stream_.scratch(), stream_.device()); };
  ctx.output = recompute ? temporary() : region(invocation, ValueClass::x, b + 1);
  ctx.saved_input = keep ? region(invocation, ValueClass::saved_input, b) : temporary();
  ctx.saved_weight = keep ? region(invocation, ValueClass::saved_weight, b) : temporary();
  model_.blocks[static_cast<size_t>(b)]->forward(ctx, weights(b), activation(invocation, ValueClass::x, b));
}

void StepRunner::backward_input(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(stream_.scratch());
  ctx.output = region(invocation, ValueClass::dx, b);
  ctx.saved_input = region(invocation, ValueClass::saved_input, b);
  ctx.saved_weight = region(invocation, ValueClass::saved_weight, b);
  ctx.deferred = region(invocation, ValueClass::deferred, b);
  model_.blocks[static_cast<size_t>(b)]->backward_input(ctx, weights(b),
                                                        activation(invocation, ValueClass::x, b),
                                                        activation(invocation, ValueClass::dx, b + 1));
}

void StepRunner::backward_weight(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(stream_.scratch());
  ctx.saved_input = Region::counting();
  ctx.saved_weight = region(invocation, ValueClass::saved_weight, b);
  ctx.deferred = region(invocation, ValueClass::deferred, b);
  const Gradients gradients{views_[static_cast<size_t>(b)].gradients(), invocation.action().write};
  model_.blocks[static_cast<size_t>(b)]->backward_weight(ctx, gradients,
                                                         activation(invocation, ValueClass::x, b),
                                                         activation(invocation, ValueClass::dx, b + 1));
}

void StepRunner::loss(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(stream_.scratch());
  const Tensor x = activation(invocation, ValueClass::x, b);
  if (invocation.action().kind == Kind::loss_only) {
    model_.head->loss_only(ctx, weights(b), x, &scalars().loss);
    return;
  }
  const Write write = invocation.action().write;
  // A tied table's gradient begins here; what else its block has is only written when its own turn comes, by
  // adding.
  if (write == Write::overwrite && model_.tied())
    for (const Tensor& gradient : views_[0].gradients().subspan(1)) fill(stream_, gradient, 0);
  ctx.output = region(invocation, ValueClass::dx, b);
  model_.head->loss(ctx, weights(b), {views_[static_cast<size_t>(b)].gradients(), write}, x, &scalars().loss);
}

void StepRunner::update(const Invocation& invocation) {
  const int block = invocation.action().block;
  const StepScalars& sums = scalars();
  if (sums.skip) return;
  const auto parameters = model_.parameters(block);
  const ParameterViews& views = views_[static_cast<size_t>(block)];
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].trainable) continue;
    UpdateSpan span{.weight = views.weights()[i].weight,
                    .grad = views.gradients()[i],
                    .state = views.state(i),
                    .scalars = (*update_)(parameters[i])};
    span.scalars.gradient_scale = sums.coefficient;
    plan_.rule()->update(stream_, span);
  }
}

Executor::Handlers StepRunner::handlers() {
  Executor::Handlers handlers;
  auto handle = [&](Kind kind, auto&& handler) { handlers[static_cast<size_t>(kind)] = handler; };
  handle(Kind::begin, [this](const Invocation&) { scalars() = {}; });
  handle(Kind::forward, [this](const Invocation& i) { forward(i); });
  handle(Kind::recompute, [this](const Invocation& i) { forward(i); });
  handle(Kind::backward_input, [this](const Invocation& i) { backward_input(i); });
  handle(Kind::backward_weight, [this](const Invocation& i) { backward_weight(i); });
  handle(Kind::loss, [this](const Invocation& i) { loss(i); });
  handle(Kind::loss_only, [this](const Invocation& i) { loss(i); });
  handle(Kind::norm, [this](const Invocation& i) {
    // A tied table's gradient belongs to its owner, so that it is counted once.
    const int block = i.action().block;
    const auto gradients =
        views_[static_cast<size_t>(block)].gradients().first(model_.parameters(block).size());
    for (const Tensor& gradient : gradients)
      if (gradient) sum_of_squares(stream_, gradient, &scalars().squares);
  });
  handle(Kind::clip, [this](const Invocation&) {
    stream_.synchronize();
    clip_(scalars());
  });
  handle(Kind::update, [this](const Invocation& i) { update(i); });
  handle(Kind::pack, [this](const Invocation& i) {
    if (!scalars().skip) pack_block(i.action().block);
  });
  return handlers;
}

}  // namespace strata
