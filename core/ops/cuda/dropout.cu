// SPDX-License-Identifier: Apache-2.0
// A thread takes eight elements of a row with one Philox block where rows are aligned and begin a block; else
// a thread takes one element and draws a block for it. One read of every operand and one write; bound by
// memory, the drawing of numbers (about 100 integer instructions a block) hidden behind it.
#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/elementwise.cuh"
#include "core/ops/dropout.h"

namespace strata::cuda {
namespace {

constexpr int kWide = static_cast<int>(kDropsPerBlock);

struct Place {
  RandomKey key;
  uint64_t first, pitch;
  DropoutRate rate;
};

// kElements must be those of one block, or one.
template <int kElements, typename T>
__global__ void dropout_kernel(Rows<const T> x, Rows<const T> add, Rows<T> out, int64_t rows, int64_t width,
                               Place place) {
  for_elements<kElements>(out, rows, width, [&](int64_t row, int64_t i, Elements<kElements, T>& result) {
    Elements<kElements, T> source;
    source.load(x.row(row) + i);
    Elements<kElements, T> added;
    if (add) added.load(add.row(row) + i);
    const uint64_t element =
        place.first + static_cast<uint64_t>(row) * place.pitch + static_cast<uint64_t>(i);
    const PhiloxBlock block = random_block(place.key, element / kDropsPerBlock);
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      // With whole blocks the place in the block is e, known when compiling: the words stay in registers.
      const uint64_t index = kElements == kWide ? static_cast<uint64_t>(e) : element;
      const float left = to_float(source[e]) * dropout_factor(block, index, place.rate);
      result[e] = from_float<T>(add ? left + to_float(added[e]) : left);
    }
  });
}

}  // namespace

void dropout(Stream& stream, const Dropout& args) {
  if (args.x.numel() == 0) return;
  const int64_t rows = args.x.dim(0), width = args.x.dim(1);
  const bool blocks = is_aligned(args.x) && is_aligned(args.add) && is_aligned(args.out) &&
                      width % kWide == 0 && args.first % kDropsPerBlock == 0 &&
                      args.pitch % kDropsPerBlock == 0;
  with_type(args.x.dtype(), [&]<typename T>(Type<T>) {
    const Place place{args.key, args.first, args.pitch, dropout_rate(args.rate)};
    const int64_t each = (blocks ? kWide : 1) * int64_t{kElementwiseThreads} * kElementwiseVectors;
    const Grid grid{
        dim3(narrow<unsigned>(div_up(width, each)), narrow<unsigned>(std::min<int64_t>(rows, 65535))),
        dim3(kElementwiseThreads)};
    const Rows<const T> x = rows_of<const T>(args.x), add = rows_of<const T>(args.add);
    const Rows<T> out = rows_of<T>(args.out);
    if (blocks)
      launch(cuda_stream(stream), dropout_kernel<kWide, T>, grid, x, add, out, rows, width, place);
    else
      launch(cuda_stream(stream), dropout_kernel<1, T>, grid, x, add, out, rows, width, place);
  });
}

}  // namespace strata::cuda
