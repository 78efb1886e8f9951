// SPDX-License-Identifier: Apache-2.0
// What StepRunner does for each kind of action.
#include <algorithm>

#include "core/device/profiler_range.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/step/step_runner.h"

namespace strata {

Stream& StepRunner::stream_of(Lane lane) const {
  Stream* const own = lane == Lane::communication ? communication_
                      : lane == Lane::h2d         ? host_to_device_
                      : lane == Lane::d2h         ? device_to_host_
                                                  : nullptr;
  return own ? *own : stream_;
}

Stream& StepRunner::stream_of(const Invocation& invocation) const {
  Stream& stream = stream_of(invocation.lane());
  stream.scratch().bind(invocation.scratch().data, invocation.scratch().bytes);
  return stream;
}

Context StepRunner::context(const Invocation& invocation) const {
  const auto micro_batch = static_cast<size_t>(std::max<int16_t>(invocation.action().micro_batch, 0));
  return {.stream = stream_of(invocation),
          .batch = batches_.at(micro_batch),
          .boundaries = plan_.boundaries(),
          .linear = plan_.linear(),
          .rope = rope_,
          .keys = plan_.rank().keys,
          .training = views_ == train_views_.get()};
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
  return Tensor::borrow(invocation.bytes_of(*operand).data, model_.compute, plan_.costs().activation_shape(),
                        stream_.device());
}

void StepRunner::forward(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(ctx.stream.scratch());
  const bool recompute = invocation.action().kind == Kind::recompute;
  const bool keep = recompute || invocation.action().keep == Keep::save;
  // What nobody will read goes to working memory.
  auto temporary = [&] { return Region::temporary(ctx.stream.scratch(), ctx.stream.device()); };
  ctx.output = recompute ? temporary() : region(invocation, ValueClass::x, b + 1);
  ctx.saved_input = keep ? region(invocation, ValueClass::saved_input, b) : temporary();
  ctx.saved_weight = keep ? region(invocation, ValueClass::saved_weight, b) : temporary();
  model_.blocks[static_cast<size_t>(b)]->forward(ctx, views_->weights(invocation.position()),
                                                 activation(invocation, ValueClass::x, b));
}

void StepRunner::backward_input(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(ctx.stream.scratch());
  ctx.output = region(invocation, ValueClass::dx, b);
  ctx.saved_input = region(invocation, ValueClass::saved_input, b);
  ctx.saved_weight = region(invocation, ValueClass::saved_weight, b);
  ctx.deferred = region(invocation, ValueClass::deferred, b);
  model_.blocks[static_cast<size_t>(b)]->backward_input(ctx, views_->weights(invocation.position()),
                                                        activation(invocation, ValueClass::x, b),
                                                        activation(invocation, ValueClass::dx, b + 1));
}

void StepRunner::backward_weight(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(ctx.stream.scratch());
  ctx.saved_input = Region::counting();
  ctx.saved_weight = region(invocation, ValueClass::saved_weight, b);
  ctx.deferred = region(invocation, ValueClass::deferred, b);
  const Gradients gradients{views_->gradients(invocation.position()), invocation.action().write};
  model_.blocks[static_cast<size_t>(b)]->backward_weight(ctx, gradients,
                                                         activation(invocation, ValueClass::x, b),
                                                         activation(invocation, ValueClass::dx, b + 1));
}

void StepRunner::loss(const Invocation& invocation) {
  const int b = invocation.action().block;
  Context ctx = context(invocation);
  const Scratch::Scope scope(ctx.stream.scratch());
  const Tensor x = activation(invocation, ValueClass::x, b);
  const Weights weights = views_->weights(invocation.position());
  if (invocation.action().kind == Kind::loss_only) {
    model_.head->loss_only(ctx, weights, x, &scalars().loss);
    return;
  }
  const Write write = invocation.action().write;
  // A tied table's gradient begins here; what else its block has is only written when its own turn comes, by
  // adding.
  const Operand* shared =
      write == Write::overwrite && model_.tied() ? invocation.find(ValueClass::grad, 0) : nullptr;
  for (size_t i = 1; shared && i < model_.parameters(0).size(); ++i)
    if (const Tensor gradient =
            gradient_shard(plan_.layout(), 0, i, 0, stream_.device(), invocation.bytes_of(*shared).data))
      fill(ctx.stream, gradient, 0);
  ctx.output = region(invocation, ValueClass::dx, b);
  model_.head->loss(ctx, weights, {views_->gradients(invocation.position()), write}, x, &scalars().loss);
}

Tensor StepRunner::gradient(const Invocation& invocation, int block, size_t parameter) const {
  const auto level = static_cast<uint8_t>(plan_.layout().partition().state_level());
  const OperandBytes bytes = invocation.bytes_of(
      Value{.cls = ValueClass::grad, .block = static_cast<int16_t>(block), .level = level});
  return gradient_shard(plan_.layout(), block, parameter, level, stream_.device(), bytes.data);
}

void StepRunner::norm(const Invocation& invocation) {
  // What another rank or block holds too is counted once. (A tied table's gradient is its owner's.)
  Stream& stream = stream_of(invocation);
  const int block = invocation.action().block;
  for (size_t i = 0; i < model_.parameters(block).size(); ++i)
    if (const Tensor sum = gradient(invocation, block, i); sum && speaks(block, i))
      sum_of_squares(stream, sum, &scalars().squares);
}

void StepRunner::update(const Invocation& invocation) {
  const int block = invocation.action().block;
  const StepScalars& sums = scalars();
  if (sums.skip) return;
  Stream& stream = stream_of(invocation);
  const auto parameters = model_.parameters(block);
  const OwnShard& own = own_[static_cast<size_t>(block)];
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].trainable) continue;
    UpdateSpan span{.weight = own.weight[i],
                    .grad = gradient(invocation, block, i),
                    .state = own.state[i],
                    .scalars = update_[static_cast<size_t>(block)][i],
                    .matrices = own.matrices[i]};
    span.scalars.gradient_scale = sums.coefficient;
    span.scalars.first_index = first_element(block, i);
    plan_.rule()->update(stream, span);
  }
}

void StepRunner::exchange(const Invocation& invocation) {
  const Action& a = invocation.action();
  Stream& stream = stream_of(invocation);
  const Scratch::Scope scope(stream.scratch());
  const StateExchange& exchange = *plan_.exchange();
  const BlockInfo& info = plan_.evaluate().program.blocks[static_cast<size_t>(std::max<int16_t>(a.block, 0))];
  const auto bytes = [&](ValueClass cls, int level, int16_t slot = -1, int block = -1) {
    return invocation
        .bytes_of(Value{.cls = cls,
                        .block = block < 0 ? a.block : static_cast<int16_t>(block),
                        .micro_batch = slot,
                        .level = static_cast<uint8_t>(level)})
        .data;
  };
  switch (a.kind) {
    case Kind::gather:
      exchange.gather(stream, a.block, bytes(ValueClass::weight, info.weight_level),
                      bytes(ValueClass::weight, 0));
      break;
    case Kind::reduce:
      exchange.reduce(stream, a.block, a.level, a.to, a.write, bytes(ValueClass::grad, a.level, a.slot),
                      bytes(ValueClass::grad, a.to, a.slot));
      break;
    case Kind::complete:
      exchange.complete(stream, a.block, bytes(ValueClass::grad, info.state_level));
      break;
    case Kind::fold:
      exchange.fold(stream, a.block, bytes(ValueClass::grad, info.grad_level, a.with),
                    bytes(ValueClass::grad, info.grad_level, a.slot));
      break;
    case Kind::spread:
      exchange.spread(stream, a.block, bytes(ValueClass::weight, info.weight_level));
      break;
    case Kind::tie:
      if (a.peer < 0)
        exchange.tie_here(stream, bytes(ValueClass::grad, info.state_level, -1, 0),
                          bytes(ValueClass::grad, info.state_level, -1, model_.num_blocks() - 1));
      else
        exchange.tie(stream, a.block, a.peer, bytes(ValueClass::grad, info.state_level));
      break;
    case Kind::send:
      exchange.send(stream, a.peer, activation(invocation, a.cls, a.block));
      break;
    case Kind::receive:
      exchange.receive(stream, a.peer, activation(invocation, a.cls, a.block));
      break;
    default:
      exchange.total(stream, scalars(), model_.split.part == 0);
      break;
  }
}

Executor::Handlers StepRunner::handlers() {
  Executor::Handlers handlers;
  auto handle = [&](Kind kind, auto&& handler) {
    handlers[static_cast<size_t>(kind)] = [this, handler](const Invocation& i) {
      const bool runs = !left_out(i);
      if (!clock_) return runs ? handler(i) : void();
      const ProfilerRange range(to_string(i.action()).c_str());
      if (!overlaps(i.lane())) clock_->begin(i.lane());
      if (runs) handler(i);
    };
  };
  handle(Kind::begin, [this](const Invocation&) { scalars() = {}; });
  handle(Kind::forward, [this](const Invocation& i) { forward(i); });
  handle(Kind::recompute, [this](const Invocation& i) { forward(i); });
  handle(Kind::backward_input, [this](const Invocation& i) { backward_input(i); });
  handle(Kind::backward_weight, [this](const Invocation& i) { backward_weight(i); });
  handle(Kind::loss, [this](const Invocation& i) { loss(i); });
  handle(Kind::loss_only, [this](const Invocation& i) { loss(i); });
  handle(Kind::norm, [this](const Invocation& i) { norm(i); });
  handle(Kind::clip, [this](const Invocation&) {
    stream_.synchronize();
    clip_(scalars());
  });
  handle(Kind::update, [this](const Invocation& i) { update(i); });
  handle(Kind::pack, [this](const Invocation& i) {
    stream_of(i);  // its working memory
    const bool after_update = i.find(ValueClass::packed, i.action().block)->access == Access::update;
    if (scalars().skip && after_update) return;
    pack_block(views_->weights(i.position()), i.action().block, after_update ? Packed::trained : Packed::all);
  });
  for (const Kind kind : {Kind::gather, Kind::send, Kind::receive, Kind::reduce, Kind::complete, Kind::fold,
                          Kind::tie, Kind::total, Kind::spread})
    handle(kind, [this](const Invocation& i) { exchange(i); });
  handle(Kind::load, [this](const Invocation& i) { move(i); });
  handle(Kind::store, [this](const Invocation& i) { move(i); });
  handle(Kind::commit, [this](const Invocation&) {
    // A deferred update is of the step before the one that runs.
    const bool deferred = !parts_.empty();
    const int64_t step = first_step_ + steps_ - (deferred && !settling_ ? 1 : 0);
    store_->commit(step, deferred ? note_ : commit_note_ ? commit_note_(step, scalars()) : std::string());
  });
  return handlers;
}

}  // namespace strata
