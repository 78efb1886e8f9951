// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/kernels/embedding.cuh"

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/token_sort.cuh"
#include "core/ops/embedding.h"

namespace strata::cuda {
namespace {

int64_t num_tiles(int64_t tokens) { return div_up(tokens, kSortTile); }

// The tokens sorted by row, in `memory` of embedding_backward_scratch() bytes.
SortedTokens sort_tokens(CudaStream& stream, const EmbeddingBackward& args, uint32_t* memory) {
  const int64_t tokens = args.ids.dim(0), rows = args.dtable.dim(0), tiles = num_tiles(tokens);
  uint32_t *row = memory, *token = row + tokens, *row_out = token + tokens, *token_out = row_out + tokens;
  uint32_t* const counts = token_out + tokens;
  const Grid by_tile{dim3(narrow<unsigned>(tiles)), dim3(kSortThreads)};
  launch(stream, token_rows_kernel,
         Grid{dim3(narrow<unsigned>(div_up(tokens, kSortThreads))), dim3(kSortThreads)},
         args.ids.data<int32_t>(), tokens, args.first_id, rows, row, token);
  for (int shift = 0; rows >> shift != 0;
       shift += 8) {  // the largest row is `rows`, of tokens of other parts
    launch(stream, count_digits_kernel, by_tile, row, tokens, shift, counts);
    launch(stream, scan_counts_kernel, Grid{dim3(1), dim3(kScanThreads)}, counts, tiles * kSortDigits);
    launch(stream, place_tokens_kernel, by_tile, row, token, tokens, shift, counts, row_out, token_out);
    std::swap(row, row_out);
    std::swap(token, token_out);
  }
  return {row, token, tokens};
}

}  // namespace

void embedding_forward(Stream& stream, const EmbeddingForward& args) {
  if (args.out.numel() == 0) return;
  with_type(args.table.dtype(), [&]<typename T>(Type<T>) {
    const EmbeddingRows<T> rows{.table = rows_of<const T>(args.table),
                                .ids = args.ids.data<int32_t>(),
                                .out = rows_of<T>(args.out),
                                .tokens = args.ids.dim(0),
                                .rows = args.table.dim(0),
                                .width = args.table.dim(1),
                                .first_id = args.first_id,
                                .num_ids = args.num_ids == 0 ? args.table.dim(0) : args.num_ids,
                                .accumulate = args.write == Write::accumulate};
    constexpr int kWide = kVectorWidth<T>;
    const bool wide = is_aligned(args.table) && is_aligned(args.out) && rows.width % kWide == 0;
    const Grid grid{dim3(narrow<unsigned>(rows.tokens)), dim3(kEmbeddingThreads)};
    launch(cuda_stream(stream), wide ? embedding_forward_kernel<T, kWide> : embedding_forward_kernel<T, 1>,
           grid, rows);
  });
}

int64_t embedding_backward_scratch(const EmbeddingBackward& args) {
  const int64_t tokens = args.ids.dim(0);
  return (4 * tokens + kSortDigits * num_tiles(tokens)) * static_cast<int64_t>(sizeof(uint32_t));
}

void embedding_backward(Stream& stream, const EmbeddingBackward& args) {
  CudaStream& cuda = cuda_stream(stream);
  if (args.write == Write::overwrite) cuda::fill(stream, args.dtable, 0.0f);
  const int64_t tokens = args.ids.dim(0), rows = args.dtable.dim(0), width = args.dtable.dim(1);
  if (tokens == 0 || rows == 0 || width == 0) return;
  Scratch::Scope scope(cuda.scratch());
  const SortedTokens sorted = sort_tokens(
      cuda, args, reinterpret_cast<uint32_t*>(cuda.scratch().take(embedding_backward_scratch(args))));
  with_type(args.dout.dtype(), [&]<typename T>(Type<T>) {
    constexpr int kWide = kVectorWidth<T>;
    const bool wide = is_aligned(args.dout) && is_aligned(args.dtable) && width % kWide == 0;
    const int64_t vectors = wide ? width / kWide : width;
    const int64_t threads = std::min<int64_t>(kEmbeddingThreads, round_up(vectors, 32));
    const Grid grid{dim3(narrow<unsigned>(tokens), narrow<unsigned>(div_up(vectors, threads))),
                    dim3(static_cast<unsigned>(threads))};
    launch(cuda, wide ? embedding_backward_kernel<T, kWide> : embedding_backward_kernel<T, 1>, grid, sorted,
           rows_of<const T>(args.dout), args.dtable.data<float>(), rows, width);
  });
}

}  // namespace strata::cuda
