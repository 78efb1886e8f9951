// SPDX-License-Identifier: Apache-2.0
#include "core/ops/attention.h"

#include <algorithm>
#include <vector>

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {
namespace {

// The head size: what bounds the tiles of every device.

template <typename Args>
void check_inputs(const Operands& operands, std::string_view op, const Args& args) {
  operands.present("q", args.q, 2);
  operands.present("k", args.k, 2);
  check(args.heads > 0 && args.kv_heads > 0 && args.heads % args.kv_heads == 0,
        "[{}] heads {} must be a multiple of kv_heads {}", op, args.heads, args.kv_heads);
  check(args.q.dim(1) % args.heads == 0, "[{}] q: expected {} heads of equal size, got {}", op, args.heads,
        args.q.shape());
  const int64_t head_dim = args.q.dim(1) / args.heads;
  check(head_dim >= 1 && head_dim <= kMaxHeadDim, "[{}] head_dim {} is outside [1, {}]", op, head_dim,
        kMaxHeadDim);
  const DType type = args.q.dtype();
  const Shape key_shape{args.k.dim(0), args.kv_heads * head_dim};
  operands.rows("q", args.q, args.q.shape(), kFloats);
  operands.rows("k", args.k, key_shape, {type});
  operands.rows("v", args.v, key_shape, {type});
  operands.dense("lse", args.lse, {args.heads, args.q.dim(0)}, {DType::f32});
  check(args.scale > 0, "[{}] scale: expected a positive number, got {}", op, args.scale);
}

void check_segments(std::string_view op, std::span<const AttentionSegment> segments, int64_t queries,
                    int64_t keys) {
  std::vector<std::pair<int64_t, int64_t>> ranges;  // of queries
  ranges.reserve(segments.size());
  for (const AttentionSegment& s : segments) {
    check(s.q_begin >= 0 && s.q_count >= 0 && int64_t{s.q_begin} + s.q_count <= queries && s.k_begin >= 0 &&
              s.k_count >= 0 && int64_t{s.k_begin} + s.k_count <= keys,
          "[{}] segment of queries [{}, +{}) and keys [{}, +{}) is outside {} queries and {} keys", op,
          s.q_begin, s.q_count, s.k_begin, s.k_count, queries, keys);
    ranges.emplace_back(s.q_begin, s.q_count);
  }
  std::sort(ranges.begin(), ranges.end());
  int64_t next = 0;
  for (const auto& [begin, count] : ranges) {
    check(begin == next || count == 0,
          "[{}] segments must cover every query exactly once: expected one from query {}, got {}", op, next,
          begin);
    next += count;
  }
  check(next == queries,
        "[{}] segments must cover every query exactly once: queries from {} of {} are in none", op, next,
        queries);
}

}  // namespace

void attention_forward(Stream& stream, const AttentionForward& args) {
  const Operands operands("attention_forward", stream);
  check_inputs(operands, "attention_forward", args);
  operands.rows("out", args.out, args.q.shape(), {args.q.dtype(), DType::f32});
  check_segments("attention_forward", args.segments, args.q.dim(0), args.k.dim(0));
  op_table(stream.device().kind).attention_forward(stream, args);
}

void attention_backward(Stream& stream, const AttentionBackward& args) {
  const Operands operands("attention_backward", stream);
  check_inputs(operands, "attention_backward", args);
  const DType type = args.q.dtype();
  operands.rows("out", args.out, args.q.shape(), {type});
  operands.rows("dout", args.dout, args.q.shape(), {type});
  operands.rows("dq", args.dq, args.q.shape(), {type, DType::f32});
  operands.rows("dk", args.dk, args.k.shape(), {type, DType::f32});
  operands.rows("dv", args.dv, args.k.shape(), {type, DType::f32});
  check_segments("attention_backward", args.segments, args.q.dim(0), args.k.dim(0));
  op_table(stream.device().kind).attention_backward(stream, args);
}

void attention_merge(Stream& stream, const AttentionMerge& args) {
  const Operands operands("attention_merge", stream);
  operands.present("out", args.out, 2);
  operands.present("lse", args.lse, 2);
  operands.dense("out", args.out, args.out.shape(), {DType::f32});
  operands.dense("part", args.part, args.out.shape(), {DType::f32});
  operands.dense("lse", args.lse, {args.lse.dim(0), args.out.dim(0)}, {DType::f32});
  operands.dense("part_lse", args.part_lse, args.lse.shape(), {DType::f32});
  check(args.out.dim(1) % args.lse.dim(0) == 0,
        "[attention_merge] out: expected {} heads of equal size, got {}", args.lse.dim(0), args.out.shape());
  op_table(stream.device().kind).attention_merge(stream, args);
}

}  // namespace strata
