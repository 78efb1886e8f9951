// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantize.h"

#include <algorithm>
#include <utility>

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/dequantize.cuh"
#include "core/ops/cuda/kernels/quantize.cuh"
#include "core/ops/cuda/kernels/quantize_magnitudes.cuh"
#include "core/ops/cuda/quantize_edges.h"

namespace strata::cuda {
namespace {

// Working memory: counts of blocks, then magnitudes.
struct Space {
  int64_t blocks, rows, columns;
  int64_t counts;                      // f64
  int64_t whole, of_rows, of_columns;  // u32

  explicit Space(const Quantize& args)
      : blocks(div_up(args.x.dim(0), kScaleTile) * div_up(args.x.dim(1), kScaleTile)),
        rows(args.x.dim(0)),
        columns(args.x.dim(1)) {
    const auto has = [](const Quantized& q, ScaleShape shape) { return q && q.shape == shape; };
    const bool tensor = has(args.rows, ScaleShape::tensor) || has(args.columns, ScaleShape::tensor);
    counts = args.counts ? blocks * kQuantizeCounts : 0;
    whole = !args.known && ((tensor && !args.given) || args.amax) ? 1 : 0;
    of_rows = has(args.rows, ScaleShape::row) ? rows : 0;
    of_columns = has(args.columns, ScaleShape::row) ? columns : 0;
  }
  int64_t magnitudes() const { return whole + of_rows + of_columns; }
  int64_t bytes() const {
    return counts * static_cast<int64_t>(sizeof(double)) +
           magnitudes() * static_cast<int64_t>(sizeof(uint32_t));
  }
};

QuantizeTo result_of(const Quantized& to, const uint32_t* shared) {
  if (!to) return {};
  const ScaleStrides strides = scale_strides(to);
  return {.codes = reinterpret_cast<uint8_t*>(to.codes.raw()),
          .stride = to.codes.stride(0),
          .scales = to.scales.data<float>(),
          .row_stride = strides.row,
          .chunk_stride = strides.chunk,
          .shape = to.shape,
          .format = to.codes.dtype() == DType::f8e4m3 ? Fp8Format::e4m3 : Fp8Format::e5m2,
          .shared = shared,
          .wide = is_aligned(to.codes)};
}

}  // namespace

int64_t quantize_scratch(const Quantize& args) { return Space(args).bytes(); }

void quantize(Stream& stream, const Quantize& args) {
  if (args.x.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  const Space space(args);
  const Scratch::Scope scope(stream.scratch());
  std::byte* const scratch = stream.scratch().take(space.bytes());
  auto* const counts = reinterpret_cast<double*>(scratch);
  auto* const magnitudes = reinterpret_cast<uint32_t*>(counts + space.counts);
  uint32_t* next = magnitudes;
  const auto take = [&next](int64_t count) {
    return count > 0 ? std::exchange(next, next + count) : nullptr;
  };
  const Magnitudes shared{take(space.whole), take(space.of_rows), take(space.of_columns)};

  constexpr int kZeroThreads = 256;
  constexpr int64_t kMostBlocks = 1024;
  if (space.magnitudes() > 0)
    launch(cuda, zero_magnitudes_kernel,
           {dim3(narrow<unsigned>(std::min(div_up(space.magnitudes(), int64_t{kZeroThreads}), kMostBlocks))),
            dim3(kZeroThreads)},
           magnitudes, space.magnitudes());
  const QuantizeJob job{.straight = result_of(args.rows, shared.rows),
                        .turned = result_of(args.columns, shared.columns),
                        .kind = args.kind,
                        .given = args.given ? args.given.data<const float>() : nullptr,
                        .whole = args.known ? amax_of(args.known) : shared.whole,
                        .amax = args.amax ? args.amax.data<float>() : nullptr,
                        .counts = args.counts ? counts : nullptr};
  const Grid grid{dim3(narrow<unsigned>(space.blocks)), dim3(kTileThreads)};
  with_type(args.x.dtype(), [&]<typename T>(Type<T>) {
    const QuantizeSource<T> x{rows_of<const T>(args.x), space.rows, space.columns, is_aligned(args.x)};
    if (space.magnitudes() > 0) launch(cuda, magnitudes_kernel<T>, grid, x, shared);
    launch(cuda, args.counts ? quantize_kernel<T, true> : quantize_kernel<T, false>, grid, x, job);
  });
  if (args.counts)
    launch(cuda, sum_counts_kernel, {dim3(1), dim3(32 * kQuantizeCounts)}, counts, space.blocks,
           args.counts.data<double>());
}

void raise_amax(Stream& stream, const Tensor& x, const Tensor& amax) {
  if (x.numel() == 0) return;
  const int64_t tiles = div_up(x.dim(0), kScaleTile) * div_up(x.dim(1), kScaleTile);
  with_type(x.dtype(), [&]<typename T>(Type<T>) {
    const QuantizeSource<T> source{rows_of<const T>(x), x.dim(0), x.dim(1), is_aligned(x)};
    launch(cuda_stream(stream), magnitudes_kernel<T>, {dim3(narrow<unsigned>(tiles)), dim3(kTileThreads)},
           source, Magnitudes{amax_of(amax), nullptr, nullptr});
  });
}

void dequantize(Stream& stream, const Quantized& x, const Tensor& out) {
  if (out.numel() == 0) return;
  const ScaleStrides strides = scale_strides(x);
  const Rows<const uint8_t> codes{reinterpret_cast<const uint8_t*>(x.codes.raw()), x.codes.stride(0)};
  const Scales scales{x.scales.data<const float>(), strides.row, strides.chunk, strides.row_shift};
  constexpr int64_t kMostRows = 65535;
  const Grid grid{dim3(narrow<unsigned>(div_up(out.dim(1), kDequantizeThreads)),
                       narrow<unsigned>(std::min(out.dim(0), kMostRows))),
                  dim3(kDequantizeThreads)};
  with_type(out.dtype(), [&]<typename T>(Type<T>) {
    launch(cuda_stream(stream), dequantize_kernel<T>, grid, codes, scales,
           x.codes.dtype() == DType::f8e4m3 ? Fp8Format::e4m3 : Fp8Format::e5m2, rows_of<T>(out), out.dim(0),
           out.dim(1));
  });
}

}  // namespace strata::cuda
