// SPDX-License-Identifier: Apache-2.0
#include "core/ops/reduce.h"

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/norm_backward.cuh"
#include "core/ops/cuda/kernels/reduce.cuh"

namespace strata::cuda {
namespace {

// Rows are cut into at most so many pieces of at least kLeastRows.
constexpr int64_t kMostPieces = 128, kLeastRows = 32;

int64_t rows_per_piece(int64_t rows) { return std::max(kLeastRows, div_up(rows, kMostPieces)); }
int64_t num_pieces(int64_t rows) { return std::max<int64_t>(1, div_up(rows, rows_per_piece(rows))); }

}  // namespace

int64_t column_sum_scratch(const ColumnSum& args) {
  return num_pieces(args.x.dim(0)) * args.x.dim(1) * static_cast<int64_t>(sizeof(float));
}

void column_sum(Stream& stream, const ColumnSum& args) {
  const int64_t rows = args.x.dim(0), columns = args.x.dim(1);
  if (columns == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  Scratch::Scope scope(cuda.scratch());
  float* const partials = reinterpret_cast<float*>(cuda.scratch().take(column_sum_scratch(args)));
  const int64_t pieces = num_pieces(rows);
  with_type(args.x.dtype(), [&]<typename T>(Type<T>) {
    const bool wide = is_aligned(args.x) && columns % kVectorWidth<T> == 0;
    const auto run = [&](auto kernel, int width) {
      const Grid grid{
          dim3(narrow<unsigned>(div_up(columns, int64_t{kColumnThreads} * width)), narrow<unsigned>(pieces)),
          dim3(kColumnThreads)};
      launch(cuda, kernel, grid, rows_of<const T>(args.x), rows, columns, rows_per_piece(rows), partials);
    };
    if (wide)
      run(column_sum_kernel<T, kVectorWidth<T>>, kVectorWidth<T>);
    else
      run(column_sum_kernel<T, 1>, 1);
  });
  const Grid grid{dim3(narrow<unsigned>(div_up(columns, kCombineColumns))),
                  dim3(kCombineColumns, kCombineRows)};
  launch(cuda, norm_combine_kernel, grid, partials, pieces, columns, columns, args.out.data<float>(),
         args.write == Write::accumulate);
}

int64_t sum_of_squares_scratch(const Tensor&) { return kExactWords * static_cast<int64_t>(sizeof(Limb)); }

void sum_of_squares(Stream& stream, const Tensor& x, BinnedSum* sum) {
  if (x.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  Scratch::Scope scope(cuda.scratch());
  Limb* const words = reinterpret_cast<Limb*>(cuda.scratch().take(sum_of_squares_scratch(x)));
  launch(cuda, zero_words_kernel, {}, words);
  with_type(x.dtype(), [&]<typename T>(Type<T>) {
    // Eight blocks for each multiprocessor of an H100: all that fit at a time.
    constexpr int64_t kMostBlocks = 132 * 8;
    const int wide = is_aligned(x) ? kVectorWidth<T> : 1;
    const int64_t blocks =
        std::clamp<int64_t>(div_up(x.numel(), int64_t{kSquareThreads} * wide), 1, kMostBlocks);
    const Grid grid{dim3(narrow<unsigned>(blocks)), dim3(kSquareThreads)};
    if (is_aligned(x))
      launch(cuda, square_sum_kernel<T, kVectorWidth<T>>, grid, x.data<const T>(), x.numel(), words);
    else
      launch(cuda, square_sum_kernel<T, 1>, grid, x.data<const T>(), x.numel(), words);
  });
  launch(cuda, add_words_kernel, {}, words, sum);
}

void sum_losses(Stream& stream, const Tensor& nll, const Tensor& targets, LossSum* sum) {
  launch(cuda_stream(stream), sum_losses_kernel, {dim3(1), dim3(256)}, nll.data<const float>(),
         targets.data<const int32_t>(), nll.numel(), sum);
}

}  // namespace strata::cuda
