// SPDX-License-Identifier: Apache-2.0
#include "core/nn/attend.h"

#include "core/ops/elementwise.h"

namespace strata {
namespace {

std::span<const AttentionSegment> segments_of(const TokenBatch& batch, int visit) {
  return visit == 0 ? batch.segments : std::span(batch.visits[static_cast<size_t>(visit) - 1]);
}

void check_visits(const Context& ctx) {
  check(static_cast<int>(ctx.batch.visits.size()) + 1 == ctx.keys->pieces(),
        "[attend] the batch is cut for {} pieces of keys, {} come", ctx.batch.visits.size() + 1,
        ctx.keys->pieces());
}

}  // namespace

void attend(Context& ctx, const AttentionForward& args) {
  check_visits(ctx);
  const Scratch::Scope scope(ctx.stream.scratch());
  // With several pieces: what is merged so far, and one visit's part.
  const bool merge = ctx.keys->pieces() > 1;
  const Tensor sum = merge ? ctx.scratch(DType::f32, args.out.shape()) : args.out;
  const Tensor part = merge ? ctx.scratch(DType::f32, args.out.shape()) : Tensor();
  const Tensor part_lse = merge ? ctx.scratch(DType::f32, args.lse.shape()) : Tensor();
  ctx.keys->forward(ctx.stream, args.k, args.v, [&](int visit, const Tensor& k, const Tensor& v) {
    AttentionForward one = args;
    one.k = k;
    one.v = v;
    one.out = visit == 0 ? sum : part;
    one.lse = visit == 0 ? args.lse : part_lse;
    one.segments = segments_of(ctx.batch, visit);
    attention_forward(ctx.stream, one);
    if (visit > 0)
      attention_merge(ctx.stream, {.out = sum, .lse = args.lse, .part = part, .part_lse = part_lse});
  });
  if (merge) copy(ctx.stream, sum, args.out);
}

void attend_backward(Context& ctx, const AttentionBackward& args) {
  check_visits(ctx);
  const Scratch::Scope scope(ctx.stream.scratch());
  const bool merge = ctx.keys->pieces() > 1;
  const Tensor sum = merge ? ctx.scratch(DType::f32, args.dq.shape()) : args.dq;
  const Tensor part = merge ? ctx.scratch(DType::f32, args.dq.shape()) : Tensor();
  // With out and lse of all keys, every visit gives its own share of the gradients.
  ctx.keys->backward(ctx.stream, args.k, args.v, args.dk, args.dv,
                     [&](int visit, const Tensor& k, const Tensor& v, const Tensor& dk, const Tensor& dv) {
                       AttentionBackward one = args;
                       one.k = k;
                       one.v = v;
                       one.dk = dk;
                       one.dv = dv;
                       one.dq = visit == 0 ? sum : part;
                       one.segments = segments_of(ctx.batch, visit);
                       attention_backward(ctx.stream, one);
                       if (visit > 0) add(ctx.stream, sum, part, sum);
                     });
  if (merge) copy(ctx.stream, sum, args.dq);
}

}  // namespace strata
