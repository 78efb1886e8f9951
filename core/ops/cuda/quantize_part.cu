// SPDX-License-Identifier: Apache-2.0
#include "core/ops/quantize_part.h"

#include <algorithm>

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/quantize_magnitudes.cuh"
#include "core/ops/cuda/kernels/quantize_part.cuh"

namespace strata::cuda {
namespace {

Grid grid_over(int64_t threads) {
  constexpr int64_t kMostBlocks = 1024;
  return {dim3(narrow<unsigned>(std::clamp(div_up(threads, int64_t{kPartThreads}), int64_t{1}, kMostBlocks))),
          dim3(kPartThreads)};
}

template <typename T>
PartSource<T> source_of(const MatrixPart& part) {
  check(part.x.numel() % 2 == 0, "[quantize_part] {} elements are no pairs", part.x.numel());
  return {part.x.data<const T>(),
          part.x.numel(),
          part.begin,
          std::clamp(part.rows * part.k - part.begin, int64_t{0}, part.x.numel()),
          part.k,
          part.shape == ScaleShape::block ? div_up(part.k, kScaleTile) : 0};
}

}  // namespace

void part_magnitudes(Stream& stream, const MatrixPart& part, const Tensor& amax) {
  CudaStream& cuda = cuda_stream(stream);
  auto* const to = reinterpret_cast<uint32_t*>(amax.data<float>());
  launch(cuda, zero_magnitudes_kernel, grid_over(amax.numel()), to, amax.numel());
  with_type(part.x.dtype(), [&]<typename T>(Type<T>) {
    launch(cuda, part_magnitudes_kernel<T>, grid_over(part.x.numel() / 2), source_of<T>(part), to);
  });
}

void quantize_part(Stream& stream, const QuantizePart& args) {
  CudaStream& cuda = cuda_stream(stream);
  with_type(args.part.x.dtype(), [&]<typename T>(Type<T>) {
    launch(cuda,
           args.codes.dtype() == DType::f8e4m3 ? quantize_part_kernel<T, Fp8Format::e4m3>
                                               : quantize_part_kernel<T, Fp8Format::e5m2>,
           grid_over(args.part.x.numel() / 2), source_of<T>(args.part), args.amax.data<const float>(),
           args.kind, reinterpret_cast<uint8_t*>(args.codes.raw()), args.scales.data<float>(),
           args.scales.numel());
  });
}

}  // namespace strata::cuda
