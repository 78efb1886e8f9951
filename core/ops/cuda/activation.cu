// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cuda/kernels/activation.cuh"

#include "core/ops/activation.h"
#include "core/ops/cuda/cuda_ops.h"

namespace strata::cuda {
namespace {

// launch_kernel(Type<T>, Wide<k>, grid) for rows of `width` elements like those of `x`.
template <int kWide>
struct Wide {};

template <typename Launch>
void for_rows(const Tensor& x, int64_t width, bool aligned, const Launch& launch_kernel) {
  const int64_t rows = x.dim(0);
  if (rows == 0 || width == 0) return;
  with_type(x.dtype(), [&]<typename T>(Type<T>) {
    constexpr int kWide = kVectorWidth<T>;
    const bool wide = aligned && width % kWide == 0;
    const int64_t vectors = wide ? width / kWide : width;
    const Grid grid{dim3(narrow<unsigned>(div_up(vectors, kActivationThreads * kActivationVectors)),
                         static_cast<unsigned>(std::min<int64_t>(rows, 65535))),
                    dim3(kActivationThreads)};
    if (wide)
      launch_kernel(Type<T>{}, Wide<kWide>{}, grid);
    else
      launch_kernel(Type<T>{}, Wide<1>{}, grid);
  });
}

}  // namespace

void swiglu_forward(Stream& stream, const SwigluForward& args) {
  const int64_t width = args.y.dim(1);
  for_rows(args.y, width, is_aligned(args.gate_up) && is_aligned(args.y),
           [&]<typename T, int kWide>(Type<T>, Wide<kWide>, const Grid& grid) {
             launch(cuda_stream(stream), swiglu_forward_kernel<T, kWide>, grid,
                    rows_of<const T>(args.gate_up), rows_of<T>(args.y), args.y.dim(0), width,
                    amax_of(args.amax));
           });
}

void swiglu_backward(Stream& stream, const SwigluBackward& args) {
  const int64_t width = args.dy.dim(1);
  for_rows(args.dy, width, is_aligned(args.gate_up) && is_aligned(args.dy) && is_aligned(args.dgate_up),
           [&]<typename T, int kWide>(Type<T>, Wide<kWide>, const Grid& grid) {
             launch(cuda_stream(stream), swiglu_backward_kernel<T, kWide>, grid,
                    rows_of<const T>(args.gate_up), rows_of<const T>(args.dy), rows_of<T>(args.dgate_up),
                    args.dy.dim(0), width, amax_of(args.amax));
           });
}

void gelu_forward(Stream& stream, const GeluForward& args) {
  const int64_t width = args.x.dim(1);
  for_rows(args.x, width, is_aligned(args.x) && is_aligned(args.y),
           [&]<typename T, int kWide>(Type<T>, Wide<kWide>, const Grid& grid) {
             launch(cuda_stream(stream), gelu_forward_kernel<T, kWide>, grid, rows_of<const T>(args.x),
                    rows_of<T>(args.y), args.x.dim(0), width, amax_of(args.amax));
           });
}

void gelu_backward(Stream& stream, const GeluBackward& args) {
  const int64_t width = args.x.dim(1);
  for_rows(args.x, width, is_aligned(args.x) && is_aligned(args.dy) && is_aligned(args.dx),
           [&]<typename T, int kWide>(Type<T>, Wide<kWide>, const Grid& grid) {
             launch(cuda_stream(stream), gelu_backward_kernel<T, kWide>, grid, rows_of<const T>(args.x),
                    rows_of<const T>(args.dy), rows_of<T>(args.dx), args.x.dim(0), width, amax_of(args.amax));
           });
}

}  // namespace strata::cuda
