// SPDX-License-Identifier: Apache-2.0
// Products of codes as the library of a GPU likes them: factors that lie as it reads them are used where they
// are, in whatever order they come the bits are the same, and what it cannot do is refused, not skipped.
#include <gtest/gtest.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/ops/cuda/blas.h"
#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/op_table.h"
#include "core/ops/quantize.h"
#include "tests/support/cuda/cuda_device.h"
#include "tests/support/matrix.h"

namespace strata {
namespace {

using reference::Matrix;
using reference::to_matrix;

enum class Layout { by_row, library };

// Factors of [rows, k] in either order; the library's lie on 16 bytes.
Tensor scales_of(TestTensors& make, ScaleShape shape, int64_t rows, int64_t k, Layout layout) {
  const Shape of = scales_shape(shape, rows, k);
  if (shape == ScaleShape::tensor || shape == ScaleShape::row || layout == Layout::by_row)
    return make.uninitialised(DType::f32, of);
  const bool block = shape == ScaleShape::block;
  const int64_t stride = block ? round_up(of[1], 4) : rows, count = stride * (block ? of[0] : of[1]);
  const Tensor room = make.uninitialised(DType::f32, {count + 4});
  const int64_t skip = static_cast<int64_t>(16 - reinterpret_cast<uintptr_t>(room.raw()) % 16) % 16 / 4;
  const Tensor memory = room.slice(0, skip, count);
  return block ? memory.view({of[0], stride}).slice(1, 0, of[1]) : memory.view({of[1], stride}).t();
}

// Codes on 16 bytes whatever the tests' placing.
Tensor codes_of(TestTensors& make, int64_t rows, int64_t k) {
  const Tensor room = make.uninitialised(DType::f8e4m3, {rows * k + 16});
  const int64_t skip = static_cast<int64_t>(16 - reinterpret_cast<uintptr_t>(room.raw()) % 16) % 16;
  return room.slice(0, skip, rows * k).view({rows, k});
}

TEST(CudaQuantizedMatmul, FactorsInTheLibrarysOrderAreUsedAsTheyAre) {
  constexpr int64_t kM = 144, kN = 272, kK = 400;
  for (const ScaleShape right : {ScaleShape::tile, ScaleShape::block}) {
    std::vector<Matrix> products;
    for (const Layout layout : {Layout::by_row, Layout::library}) {
      const auto results = run_everywhere([&](Stream& stream, TestTensors& make) {
        const Tensor x = make.normal(DType::bf16, {kM, kK}), w = make.normal(DType::bf16, {kN, kK});
        const Quantized a{codes_of(make, kM, kK), scales_of(make, ScaleShape::tile, kM, kK, layout),
                          ScaleShape::tile};
        const Quantized b{codes_of(make, kN, kK), scales_of(make, right, kN, kK, layout), right};
        quantize(stream, {.x = x, .rows = a});
        quantize(stream, {.x = w, .rows = b});
        const Tensor room = make.uninitialised(DType::f32, {kM * kN + 4});
        const int64_t skip = static_cast<int64_t>(16 - reinterpret_cast<uintptr_t>(room.raw()) % 16) % 16 / 4;
        const Tensor out = room.slice(0, skip, kM * kN).view({kM, kN});
        const QuantizedMatmul product{.a = a, .b = b, .out = out};
        const int64_t scratch = scratch_table(DeviceKind::cuda).quantized_matmul(product);
        if (layout == Layout::library) {
          EXPECT_EQ(scratch, cuda::kBlasScratch);
        } else {
          EXPECT_GT(scratch, cuda::kBlasScratch);
        }
        quantized_matmul(stream, product);
        stream.synchronize();
        return std::vector{out};
      });
      products.push_back(to_matrix(results[0]));
    }
    EXPECT_EQ(products[0].values, products[1].values);
  }
}

TEST(CudaQuantizedMatmul, WhatTheLibraryCannotDoIsRefused) {
  const auto stream = make_cuda_test_stream();
  TestTensors make(1, make_cuda_test_memory(), TestTensors::Placing::aligned);
  const auto product = [&](DType left, DType right, int64_t k, cuda::BlasScaleMode a, cuda::BlasScaleMode b) {
    const Tensor x = make.filled(left, {32, 160}, 0), w = make.filled(right, {48, 160}, 0);
    const Tensor factors = make.filled(DType::f32, {1024}, 1), out = make.uninitialised(DType::f32, {32, 48});
    const cuda::BlasProduct p{
        .a = {.data = x.raw(), .dtype = left, .rows = 32, .columns = k, .stride = x.stride(0)},
        .b = {.data = w.raw(),
              .dtype = right,
              .rows = k,
              .columns = 48,
              .stride = w.stride(0),
              .transposed = true},
        .out = {.data = out.raw(), .dtype = DType::f32, .rows = 32, .columns = 48, .stride = out.stride(0)},
        .a_scales = {factors.data<const float>(), a},
        .b_scales = {factors.data<const float>(), b}};
    Scratch::Scope scope(stream->scratch());
    cuda::run_product(cuda_stream(*stream), p, cuda::aligned_workspace(stream->scratch()));
    stream->synchronize();
  };
  using enum cuda::BlasScaleMode;
  for (const DType right : {DType::f8e4m3, DType::f8e5m2})
    EXPECT_NO_THROW(product(DType::f8e4m3, right, 160, tile, block));
  EXPECT_THROW(product(DType::f8e5m2, DType::f8e5m2, 160, tensor, tensor), Error);
  EXPECT_THROW(product(DType::f8e4m3, DType::f8e4m3, 160, block, block), Error);
  EXPECT_THROW(product(DType::f8e4m3, DType::f8e4m3, 152, tensor, tensor), Error);

  const Quantized wide{make.filled(DType::f8e5m2, {16, 16}, 0), make.filled(DType::f32, {1}, 1)};
  const Tensor out = make.uninitialised(DType::f32, {16, 16});
  EXPECT_THROW(quantized_matmul(*stream, {.a = wide, .b = wide, .out = out}), ContractError);
}

}  // namespace
}  // namespace strata
