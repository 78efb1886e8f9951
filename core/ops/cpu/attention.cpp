// SPDX-License-Identifier: Apache-2.0
// Forward: a piece of work is one tile of queries of one head. Backward: one run of keys that share queries
// (usually a document) and one key/value head, so that nobody else adds to its dk and dv; their sums are kept
// in f32 scratch.
#include "core/ops/attention.h"

#include <algorithm>
#include <vector>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/attention_kernels.h"
#include "core/ops/cpu/kernels/pointwise_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {
namespace {

const AttentionKernels& kernels_for(Isa isa, DType type, int64_t head_dim) {
  if (isa == Isa::avx512_bf16 && type == DType::bf16 && head_dim % 16 == 0)
    return avx512_bf16::attention_pair_kernels;
  return STRATA_SELECT_ISA(isa, attention_kernels);
}

// Head h's columns of a token matrix.
MatrixRef head_columns(const Tensor& x, int64_t head, int64_t head_dim) {
  return offset(ref(x), head * head_dim);
}

template <typename Args>
AttentionHead head_of(const Args& args, int64_t head) {
  const int64_t head_dim = args.q.dim(1) / args.heads;
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  return {.q = head_columns(args.q, head, head_dim),
          .k = head_columns(args.k, kv_head, head_dim),
          .v = head_columns(args.v, kv_head, head_dim),
          .out = head_columns(args.out, head, head_dim),
          .lse = args.lse.template data<float>() + head * args.q.dim(0),
          .head_dim = static_cast<int>(head_dim),
          .scale = args.scale,
          .causal = args.causal,
          .dout = {},
          .dq = {},
          .dk = nullptr,
          .dv = nullptr};
}

// The tile of a segment that begins at its query `first`.
AttentionTile tile_of(const AttentionSegment& segment, int32_t first) {
  return {.q_begin = int64_t{segment.q_begin} + first,
          .k_begin = segment.k_begin,
          .q_count = std::min(kAttentionTile, segment.q_count - first),
          .k_count = segment.k_count,
          .diagonal = int64_t{segment.diagonal} + first};
}

// Keys [begin, end), and the segments that see some of them: a run shares no key with another run.
struct KeyRun {
  int64_t begin, end;
  std::vector<AttentionSegment> segments;
};

// Runs in order of keys; together with the gaps between them (runs without segments) they cover all keys.
std::vector<KeyRun> key_runs(std::vector<AttentionSegment> segments, int64_t keys) {
  std::stable_sort(segments.begin(), segments.end(),
                   [](const auto& a, const auto& b) { return a.k_begin < b.k_begin; });
  std::vector<KeyRun> runs;
  int64_t covered = 0;
  for (const AttentionSegment& segment : segments) {
    const int64_t begin = segment.k_begin, end = begin + segment.k_count;
    if (begin > covered) runs.push_back({covered, begin, {}});
    if (runs.empty() || begin >= covered)
      runs.push_back({begin, end, {segment}});
    else
      runs.back().segments.push_back(segment);
    covered = std::max(covered, end);
    runs.back().end = covered;
  }
  if (covered < keys) runs.push_back({covered, keys, {}});
  return runs;
}

int64_t padded_head(const AttentionBackward& args) { return round_up(args.q.dim(1) / args.heads, 16); }

}  // namespace

void attention_forward(Stream& stream, const AttentionForward& args) {
  CpuStream& cpu = cpu_stream(stream);
  std::vector<AttentionTile> tiles;
  for (const AttentionSegment& segment : args.segments)
    for (int32_t first = 0; first < segment.q_count; first += kAttentionTile)
      tiles.push_back(tile_of(segment, first));
  cpu.enqueue([&cpu, args, tiles = std::move(tiles)] {
    const AttentionKernels& kernels = kernels_for(cpu.isa(), args.q.dtype(), args.q.dim(1) / args.heads);
    const int64_t count = static_cast<int64_t>(tiles.size());
    // Later tiles of a causal segment see more keys: begin with them, so that the last piece is a short one.
    cpu.pool().for_each(count * args.heads, [&](int64_t item, int) {
      kernels.forward(head_of(args, item % args.heads),
                      tiles[static_cast<size_t>(count - 1 - item / args.heads)]);
    });
  });
}

int64_t attention_backward_scratch(const AttentionBackward& args) {
  return 2 * args.kv_heads * args.k.dim(0) * padded_head(args) * static_cast<int64_t>(sizeof(float));
}

void attention_backward(Stream& stream, const AttentionBackward& args) {
  CpuStream& cpu = cpu_stream(stream);
  Scratch::Scope scope(cpu.scratch());
  auto* sums = reinterpret_cast<float*>(cpu.scratch().take(attention_backward_scratch(args)));
  auto runs = key_runs({args.segments.begin(), args.segments.end()}, args.k.dim(0));
  cpu.enqueue([&cpu, args, sums, runs = std::move(runs)] {
    const AttentionKernels& kernels = kernels_for(cpu.isa(), args.q.dtype(), args.q.dim(1) / args.heads);
    const PointwiseKernels& pointwise = STRATA_SELECT_ISA(cpu.isa(), pointwise_kernels);
    const int64_t head_dim = args.q.dim(1) / args.heads, width = padded_head(args), keys = args.k.dim(0);
    const int64_t group = args.heads / args.kv_heads;
    cpu.pool().for_each(static_cast<int64_t>(runs.size()) * args.kv_heads, [&](int64_t item, int) {
      const KeyRun& run = runs[static_cast<size_t>(item / args.kv_heads)];
      const int64_t kv_head = item % args.kv_heads;
      float* const dk = sums + 2 * kv_head * keys * width;
      float* const dv = dk + keys * width;
      for (float* sum : {dk, dv}) std::fill(sum + run.begin * width, sum + run.end * width, 0.0f);
      for (int64_t head_index = kv_head * group; head_index < (kv_head + 1) * group; ++head_index) {
        AttentionHead head = head_of(args, head_index);
        head.dout = head_columns(args.dout, head_index, head_dim);
        head.dq = head_columns(args.dq, head_index, head_dim);
        head.dk = dk;
        head.dv = dv;
        for (const AttentionSegment& segment : run.segments)
          for (int32_t first = 0; first < segment.q_count; first += kAttentionTile)
            kernels.backward(head, tile_of(segment, first));
      }
      const MatrixRef dk_out = head_columns(args.dk, kv_head, head_dim);
      const MatrixRef dv_out = head_columns(args.dv, kv_head, head_dim);
      for (int64_t j = run.begin; j < run.end; ++j) {
        pointwise.copy({dk + j * width, 0, DType::f32}, offset(dk_out, j * dk_out.stride), head_dim);
        pointwise.copy({dv + j * width, 0, DType::f32}, offset(dv_out, j * dv_out.stride), head_dim);
      }
    });
  });
}

}  // namespace strata::cpu
