// SPDX-License-Identifier: Apache-2.0
// Products of codes against the product of what they stand for, in double precision: all combinations of
// factors, odd extents, every finish; packed where the device packs.
#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/op_table.h"
#include "core/ops/quantize.h"
#include "core/tensor/bf16.h"
#include "tests/support/reference_quantize.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::Fp8Table;
using reference::Matrix;
using reference::to_matrix;

struct QuantizedMatmulCase {
  int64_t m, n, k;
  ScaleShape a_shape = ScaleShape::tensor, b_shape = ScaleShape::tensor;
  Fp8Format a_format = Fp8Format::e4m3, b_format = Fp8Format::e4m3;
  DType out = DType::f32;
  bool packed = false, bias = false, add = false;
  DType bias_type = DType::bf16;
  Write write = Write::overwrite;
};

std::string product_name(const QuantizedMatmulCase& c) {
  return fmt::format("[{}, {}] . [{}, {}]^T shapes {} and {} {} and {} to {}{}{}{}{}", c.m, c.k, c.n, c.k,
                     static_cast<int>(c.a_shape), static_cast<int>(c.b_shape), name(dtype_of(c.a_format)),
                     name(dtype_of(c.b_format)), name(c.out), c.packed ? " packed" : "",
                     c.bias ? " bias" : "", c.add ? " add" : "",
                     c.write == Write::accumulate ? " accumulate" : "");
}

// Random finite codes and factors.
struct Operand {
  std::vector<double> codes, factors;
  Matrix values;

  Operand(int64_t rows, int64_t k, Fp8Format format, ScaleShape shape, unsigned seed) : values(rows, k) {
    std::mt19937 random(seed);
    const Fp8Table table(format);
    const Shape scales = scales_shape(shape, rows, k);
    const int64_t width = scales.rank() == 2 ? scales[1] : 0;
    for (int64_t i = 0; i < scales.numel(); ++i)
      factors.push_back(static_cast<float>(0.001 * (1 + static_cast<double>(random() % 1000))));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < k; ++j) {
        int code = static_cast<int>(random() % 256);
        // Not too wide a range of sizes, so that the error of sums has a bound worth testing.
        if ((code & 0x7F) > (format == Fp8Format::e4m3 ? 0x58 : 0x4B)) code -= 0x28;
        codes.push_back(code);
        const auto [r, c] = reference::place_of_scale(shape, i, j);
        values(i, j) = table.value(code) * factors[static_cast<size_t>(r * width + c)];
      }
  }
  Quantized make(TestTensors& t, Fp8Format format, ScaleShape shape) const {
    return {t.numbers(dtype_of(format), {values.rows, values.cols}, codes),
            t.numbers(DType::f32, scales_shape(shape, values.rows, values.cols), factors), shape};
  }
};

void expect_product(const QuantizedMatmulCase& c) {
  const Operand a(c.m, c.k, c.a_format, c.a_shape, 1), b(c.n, c.k, c.b_format, c.b_shape, 2);
  Tensor bias, add, before;
  TestTensors keep;
  for (const Isa isa : isas_here()) {
    bool packs = true, on_cpu = true;
    const auto got = run_everywhere(
        [&](Stream& stream, TestTensors& t) {
          on_cpu = stream.device().kind == DeviceKind::cpu;
          QuantizedMatmul args{.a = a.make(t, c.a_format, c.a_shape),
                               .b = b.make(t, c.b_format, c.b_shape),
                               .packed_b = {},
                               .out = t.normal(c.out, {c.m, c.n}),
                               .bias = {},
                               .add = {},
                               .write = c.write};
          std::vector<Tensor> results{args.out, t.clone(args.out)};
          if (c.bias) results.push_back(args.bias = t.normal(c.bias_type, {c.n}));
          if (c.add) results.push_back(args.add = t.normal(c.out, {c.m, c.n}));
          const int64_t bytes = packed_bytes(stream, DType::bf16, c.k, c.n);
          packs = bytes > 0;
          if (c.packed && packs) {
            const Tensor words = t.ids(std::vector<int32_t>(static_cast<size_t>(bytes / 4)));
            args.packed_b = {Tensor::borrow(words.raw(), DType::u8, {bytes}), DType::bf16, c.k, c.n};
            pack_codes(stream, args.b, args.packed_b);
            args.b.codes = {};
          }
          quantized_matmul(stream, args);
          if (isa == active_isa() || !on_cpu) {  // which plans count with
            const int64_t packing = c.packed ? c.n * c.k * size_of(DType::bf16) : 0;
            const int64_t most = scratch_table(stream.device().kind).quantized_matmul(args);
            EXPECT_LE(stream.scratch().high_water(), round_up(std::max(most, packing), kTensorAlignment))
                << product_name(c);
          }
          return results;
        },
        {isa});
    const Matrix before_sum = to_matrix(got[1]), out = to_matrix(got[0]);
    const Matrix added_row = c.bias ? to_matrix(got[2]) : Matrix(1, c.n);
    const Matrix added = c.add ? to_matrix(got.back()) : Matrix(c.m, c.n);
    for (int64_t i = 0; i < c.m; ++i)
      for (int64_t j = 0; j < c.n; ++j) {
        double sum = 0, magnitude = 0;
        for (int64_t l = 0; l < c.k; ++l) {
          sum += a.values(i, l) * b.values(j, l);
          magnitude += std::fabs(a.values(i, l) * b.values(j, l));
        }
        const double extra =
            added_row(0, j) + added(i, j) + (c.write == Write::accumulate ? before_sum(i, j) : 0);
        const double rounding = c.out == DType::bf16 ? 0x1p-7 : 0x1p-22;
        ASSERT_NEAR(out(i, j), sum + extra,
                    rounding * (std::fabs(sum) + std::fabs(extra) + 4) +
                        0x1p-23 * std::sqrt(static_cast<double>(c.k)) * magnitude)
            << name(isa) << " " << product_name(c) << " at " << i << ", " << j;
      }
    if (!on_cpu || (c.packed && !packs)) break;
  }
}

constexpr ScaleShape kLeft[] = {ScaleShape::tensor, ScaleShape::row, ScaleShape::tile};
constexpr ScaleShape kRight[] = {ScaleShape::tensor, ScaleShape::row, ScaleShape::tile, ScaleShape::block};

TEST(QuantizedMatmul, EveryPairOfShapesAndOddExtents) {
  unsigned turn = 0;
  for (const auto& [m, n, k] : std::vector<std::array<int64_t, 3>>{
           {1, 1, 1}, {3, 5, 127}, {17, 49, 128}, {16, 32, 256}, {33, 129, 300}, {9, 130, 1029}})
    for (const ScaleShape a : kLeft)
      for (const ScaleShape b : kRight) {
        QuantizedMatmulCase c{.m = m, .n = n, .k = k, .a_shape = a, .b_shape = b};
        ++turn;
        c.a_format = turn % 3 == 0 ? Fp8Format::e5m2 : Fp8Format::e4m3;
        c.b_format = turn % 3 == 1 ? Fp8Format::e5m2 : Fp8Format::e4m3;
        c.out = turn % 2 == 0 ? DType::bf16 : DType::f32;
        c.packed = turn % 4 < 2;
        expect_product(c);
      }
}

TEST(QuantizedMatmul, EveryFinish) {
  for (const ScaleShape shape : {ScaleShape::tensor, ScaleShape::tile})
    for (const int64_t k : {0, 160})
      for (const DType out : {DType::f32, DType::bf16})
        for (const bool bias : {false, true})
          for (const DType bias_type : {DType::f32, DType::bf16})
            for (const bool add : {false, true})
              for (const Write write : {Write::overwrite, Write::accumulate}) {
                if ((write == Write::accumulate && out != DType::f32) || (!bias && bias_type == DType::bf16))
                  continue;
                for (const auto& [m, n] :
                     {std::pair(16, 32), std::pair(5, 19)})  // as a GPU's library likes it, and not
                  expect_product({.m = m,
                                  .n = n,
                                  .k = k,
                                  .a_shape = shape,
                                  .b_shape = shape,
                                  .out = out,
                                  .bias = bias,
                                  .add = add,
                                  .bias_type = bias_type,
                                  .write = write});
              }
}

}  // namespace
}  // namespace strata
