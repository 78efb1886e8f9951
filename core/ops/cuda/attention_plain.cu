// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/attention_plain.h"

#include <algorithm>
#include <vector>

#include "core/ops/cuda/kernels/attention_backward.cuh"
#include "core/ops/cuda/kernels/attention_forward.cuh"

namespace strata::cuda {
namespace {

// A segment has a query at least, and a query is in one segment: no more entries than queries.
int64_t table_bytes(const Tensor& q) {
  return round_up(q.dim(0) * static_cast<int64_t>(sizeof(SegmentEntry)), kTensorAlignment);
}

// The segments as the kernels want them, for tiles of `edge` queries; those without queries left out.
struct Segments {
  std::vector<SegmentEntry> entries;
  int32_t num_tiles = 0;

  Segments(std::span<const AttentionSegment> segments, int edge) {
    std::vector<AttentionSegment> sorted;
    for (const AttentionSegment& s : segments)
      if (s.q_count > 0) sorted.push_back(s);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto& a, const auto& b) { return a.k_begin < b.k_begin; });
    int32_t keys_end = 0;
    for (const AttentionSegment& s : sorted) {
      keys_end = std::max(keys_end, s.k_begin + s.k_count);
      entries.push_back({s.q_begin, s.q_count, s.k_begin, s.k_count, s.diagonal, num_tiles, keys_end});
      num_tiles += narrow<int32_t>(div_up(s.q_count, edge));
    }
  }

  SegmentTable store(CudaStream& stream, void* memory) const {
    auto* const table = static_cast<SegmentEntry*>(memory);
    for (size_t first = 0; first < entries.size(); first += kSegmentBatch) {
      const size_t count = std::min<size_t>(kSegmentBatch, entries.size() - first);
      SegmentBatch batch{};
      std::copy_n(entries.begin() + static_cast<std::ptrdiff_t>(first), count, batch.entries);
      launch(stream, store_segments_kernel, Grid{dim3(1), dim3(kSegmentBatch)}, batch, table + first,
             static_cast<int>(count));
    }
    return {table, narrow<int32_t>(entries.size())};
  }
};

// Whether the heads of a token matrix are whole vectors of four elements.
bool is_wide(const Tensor& x, int64_t head_dim) {
  const int64_t bytes = 4 * size_of(x.dtype());
  return head_dim % 4 == 0 && std::bit_cast<uintptr_t>(x.raw()) % static_cast<uintptr_t>(bytes) == 0 &&
         x.stride(0) % 4 == 0;
}

template <typename T, typename Args>
AttentionRows<T> attention_rows(const Args& args, const SegmentTable& segments) {
  const int64_t qk_dim = args.q.dim(1) / args.heads, v_dim = args.v.dim(1) / args.kv_heads;
  return {.q = rows_of<const T>(args.q),
          .k = rows_of<const T>(args.k),
          .v = rows_of<const T>(args.v),
          .lse = args.lse.template data<float>(),
          .segments = segments,
          .queries = args.q.dim(0),
          .keys = args.k.dim(0),
          .heads = narrow<int>(args.heads),
          .kv_heads = narrow<int>(args.kv_heads),
          .qk_dim = narrow<int>(qk_dim),
          .v_dim = narrow<int>(v_dim),
          .scale = args.scale,
          .causal = args.causal,
          .wide = is_wide(args.q, qk_dim) && is_wide(args.k, qk_dim) && is_wide(args.v, v_dim)};
}

template <typename T>
Results<T> results_of(const Tensor& x) {
  return {x.raw(), x.stride(0), DTypeOf<T>::value != DType::f32 && x.dtype() == DType::f32};
}

// The larger head size decides the tiles: they must fit in the 99 KiB of shared memory that every GPU
// since 8.0 grants, and their sums in registers.
template <int kEdge, int kWidth>
struct Tile {};
template <int kNarrow, int kWide, typename Body>
void with_tile(int64_t qk_dim, int64_t v_dim, const Body& body) {
  const int64_t largest = std::max(qk_dim, v_dim);
  if (largest <= 64)
    body(Tile<kNarrow, 64>{});
  else if (largest <= 128)
    body(Tile<kNarrow, 128>{});
  else
    body(Tile<kWide, 256>{});
}

void check_sizes(std::string_view op, int64_t qk_dim, int64_t v_dim) {
  check(qk_dim >= 1 && v_dim >= 1 && std::max(qk_dim, v_dim) <= 256,
        "[{}] head sizes {} and {} are outside [1, 256]", op, qk_dim, v_dim);
}

unsigned extent(int64_t count) { return narrow<unsigned>(count); }

}  // namespace

int64_t plain_attention_forward_scratch(const AttentionForward& args) { return table_bytes(args.q); }

int64_t plain_attention_backward_scratch(const AttentionBackward& args) {
  const int64_t deltas = args.heads * args.q.dim(0) * static_cast<int64_t>(sizeof(float));
  return table_bytes(args.q) + round_up(deltas, kTensorAlignment);
}

void plain_attention_forward(Stream& stream, const AttentionForward& args) {
  CudaStream& cuda = cuda_stream(stream);
  const int64_t qk_dim = args.q.dim(1) / args.heads, v_dim = args.v.dim(1) / args.kv_heads;
  check_sizes("attention_forward", qk_dim, v_dim);
  if (args.q.dim(0) == 0) return;
  Scratch::Scope scope(cuda.scratch());
  std::byte* const memory = cuda.scratch().take(plain_attention_forward_scratch(args));
  with_tile<64, 32>(qk_dim, v_dim, [&]<int kEdge, int kWidth>(Tile<kEdge, kWidth>) {
    const Segments segments(args.segments, kEdge);
    const SegmentTable table = segments.store(cuda, memory);
    with_type(args.q.dtype(), [&]<typename T>(Type<T>) {
      const Grid grid{dim3(extent(segments.num_tiles), extent(args.heads)), dim3(kAttentionThreads),
                      attention_forward_shared(kEdge, static_cast<int>(qk_dim), static_cast<int>(v_dim))};
      launch(cuda, attention_forward_kernel<T, kEdge, kWidth>, grid, attention_rows<T>(args, table),
             results_of<T>(args.out));
    });
  });
}

void plain_attention_backward(Stream& stream, const AttentionBackward& args) {
  CudaStream& cuda = cuda_stream(stream);
  const int64_t qk_dim = args.q.dim(1) / args.heads, v_dim = args.v.dim(1) / args.kv_heads;
  check_sizes("attention_backward", qk_dim, v_dim);
  Scratch::Scope scope(cuda.scratch());
  std::byte* const memory = cuda.scratch().take(plain_attention_backward_scratch(args));
  with_tile<32, 16>(qk_dim, v_dim, [&]<int kEdge, int kWidth>(Tile<kEdge, kWidth>) {
    const Segments segments(args.segments, kEdge);
    const SegmentTable table = segments.store(cuda, memory);
    with_type(args.q.dtype(), [&]<typename T>(Type<T>) {
      AttentionRows<T> rows = attention_rows<T>(args, table);
      rows.wide = rows.wide && is_wide(args.dout, v_dim);
      const AttentionGradients<T> gradients{.out = rows_of<const T>(args.out),
                                            .dout = rows_of<const T>(args.dout),
                                            .delta = reinterpret_cast<float*>(memory + table_bytes(args.q)),
                                            .dq = results_of<T>(args.dq),
                                            .dk = results_of<T>(args.dk),
                                            .dv = results_of<T>(args.dv)};
      const int64_t shared =
          attention_backward_shared(kEdge, static_cast<int>(qk_dim), static_cast<int>(v_dim));
      const dim3 threads(kAttentionThreads);
      constexpr int64_t kWarps = kAttentionThreads / 32;
      if (rows.queries > 0) {
        launch(cuda, attention_delta_kernel<T>,
               Grid{dim3(extent(div_up(rows.queries * args.heads, kWarps))), threads}, rows, gradients);
        launch(cuda, attention_dq_kernel<T, kEdge, kWidth>,
               Grid{dim3(extent(segments.num_tiles), extent(args.heads)), threads, shared}, rows, gradients);
      }
      if (rows.keys > 0)
        launch(cuda, attention_dkv_kernel<T, kEdge, kWidth>,
               Grid{dim3(extent(div_up(rows.keys, kEdge)), extent(args.kv_heads)), threads, shared}, rows,
               gradients);
    });
  });
}

}  // namespace strata::cuda
