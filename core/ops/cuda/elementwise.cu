// SPDX-License-Identifier: Apache-2.0
#include "core/ops/elementwise.h"

#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/elementwise.cuh"

namespace strata::cuda {
namespace {

constexpr int kWide = 8;

// The elements as rows; a contiguous tensor is one.
struct Extent {
  int64_t rows, width;
};
Extent extent_of(const Tensor& x, bool as_one) {
  if (as_one || x.rank() < 2) return {1, x.numel()};
  return {x.dim(0), x.dim(1)};
}

Grid grid_of(const Extent& extent, int wide) {
  const int64_t columns = div_up(extent.width, int64_t{wide} * kElementwiseThreads * kElementwiseVectors);
  return {dim3(narrow<unsigned>(columns), narrow<unsigned>(std::min<int64_t>(extent.rows, 65535))),
          dim3(kElementwiseThreads)};
}

// body(elements at a time, first, count) for the part of every row that goes in vectors, and for the rest of
// a tensor that is one row.
template <typename Body>
void split_row(const Extent& extent, bool aligned, const Body& body) {
  const int64_t whole = !aligned                    ? 0
                        : extent.rows == 1          ? extent.width / kWide * kWide
                        : extent.width % kWide == 0 ? extent.width
                                                    : 0;
  if (whole > 0) body(std::integral_constant<int, kWide>(), int64_t{0}, whole);
  if (whole < extent.width) body(std::integral_constant<int, 1>(), whole, extent.width - whole);
}

template <typename T>
Rows<T> rows_from(const Tensor& x, const Extent& extent, int64_t first) {
  return {x.data<T>() + first, extent.rows == 1 ? 0 : x.stride(0)};
}

}  // namespace

void copy(Stream& stream, const Tensor& from, const Tensor& to) {
  if (from.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  const Extent extent = extent_of(from, from.contiguous() && to.contiguous());
  const bool aligned = is_aligned(from) && is_aligned(to);
  with_type(from.dtype(), [&]<typename From>(Type<From>) {
    with_type(to.dtype(), [&]<typename To>(Type<To>) {
      split_row(extent, aligned, [&](auto wide, int64_t first, int64_t count) {
        launch(cuda, copy_kernel<wide, From, To>, grid_of({extent.rows, count}, wide),
               rows_from<const From>(from, extent, first), rows_from<To>(to, extent, first), extent.rows,
               count);
      });
    });
  });
}

void fill(Stream& stream, const Tensor& x, float value) {
  if (x.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  const Extent extent = extent_of(x, true);
  with_type(x.dtype(), [&]<typename T>(Type<T>) {
    split_row(extent, is_aligned(x), [&](auto wide, int64_t first, int64_t count) {
      launch(cuda, fill_kernel<wide, T>, grid_of({1, count}, wide), rows_from<T>(x, extent, first), value,
             count);
    });
  });
}

void add(Stream& stream, const Tensor& a, const Tensor& b, const Tensor& out) {
  if (a.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  const bool to_rows = b.rank() != a.rank();
  const Extent extent = extent_of(a, !to_rows);
  const bool aligned = is_aligned(a) && is_aligned(b) && is_aligned(out);
  with_type(a.dtype(), [&]<typename T>(Type<T>) {
    split_row(extent, aligned, [&](auto wide, int64_t first, int64_t count) {
      const Rows<const T> added{b.data<const T>() + first, to_rows || extent.rows == 1 ? 0 : b.stride(0)};
      launch(cuda, add_kernel<wide, T>, grid_of({extent.rows, count}, wide),
             rows_from<const T>(a, extent, first), added, rows_from<T>(out, extent, first), extent.rows,
             count);
    });
  });
}

void scale(Stream& stream, const Tensor& x, float s) {
  if (x.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  const Extent extent = extent_of(x, true);
  split_row(extent, is_aligned(x), [&](auto wide, int64_t first, int64_t count) {
    launch(cuda, scale_kernel<wide>, grid_of({1, count}, wide), rows_from<float>(x, extent, first), s, count);
  });
}

}  // namespace strata::cuda
