// SPDX-License-Identifier: Apache-2.0
// Matrix products: every layout of the operands, bias, addend and accumulation, against a product in double
// precision.
#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/matmul.h"
#include "core/ops/op_table.h"
#include "tests/support/cuda/cuda_device.h"
#include "tests/support/matrix.h"
#include "tests/support/reference_matmul.h"

namespace strata {
namespace {

using reference::Matrix;
using reference::to_matrix;

enum class Add { none, other, itself };

struct CudaMatmulCase {
  int64_t m, n, k;
  bool a_transposed, b_transposed;
  DType in, out;
  bool bias;
  DType bias_type;
  Add add;
  Write write;
};

std::string name_of(const CudaMatmulCase& c) {
  return fmt::format("[{}, {}] {} . {} to {}{}{}{}", c.m, c.k, c.a_transposed ? "transposed" : "", c.n,
                     name(c.out), c.bias ? fmt::format(", bias {}", name(c.bias_type)) : "",
                     c.add == Add::none ? "" : ", add", c.write == Write::accumulate ? ", accumulate" : "");
}

struct CudaMatmulOperands {
  Tensor a, b, out, bias, add;
};
CudaMatmulOperands make(const CudaMatmulCase& c, TestTensors& t) {
  CudaMatmulOperands o;
  o.a = c.a_transposed ? t.normal(c.in, {c.k, c.m}).t() : t.normal(c.in, {c.m, c.k});
  o.b = c.b_transposed ? t.normal(c.in, {c.n, c.k}).t() : t.normal(c.in, {c.k, c.n});
  o.out = t.normal(c.out, {c.m, c.n});
  if (c.bias) o.bias = t.normal(c.bias_type, {c.n});
  if (c.add == Add::other) o.add = t.normal(c.out, {c.m, c.n});
  if (c.add == Add::itself) o.add = o.out;
  return o;
}

void expect_product(const CudaMatmulCase& c) {
  TestTensors host;
  const CudaMatmulOperands in = make(c, host);
  Matrix expected = to_matrix(in.out);
  for (int64_t i = 0; i < c.m; ++i)
    for (int64_t j = 0; j < c.n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < c.k; ++l)
        sum += reference::element(in.a, i, l) * reference::element(in.b, l, j);
      if (in.bias) sum += to_matrix(in.bias)(0, j);
      if (in.add) sum += reference::element(in.add, i, j);
      expected(i, j) = c.write == Write::accumulate ? expected(i, j) + sum : sum;
    }
  const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
    const CudaMatmulOperands o = make(c, tensors);
    const Matmul product{.a = o.a, .b = o.b, .out = o.out, .bias = o.bias, .add = o.add, .write = c.write};
    matmul(stream, product);
    EXPECT_LE(stream.scratch().high_water(),
              round_up(scratch_table(DeviceKind::cuda).matmul(product), kTensorAlignment));
    return std::vector{o.out};
  });
  const double size = std::sqrt(static_cast<double>(std::max<int64_t>(c.k, 1)));
  for (int64_t i = 0; i < c.m; ++i)
    for (int64_t j = 0; j < c.n; ++j) {
      // f32 sums, rounded to the output's type once for the product and once for what is added apart.
      const double rounding = c.out == DType::bf16 ? 0x1p-7 : 0x1p-22;
      const double bound = rounding * (std::fabs(expected(i, j)) + 4) + 0x1p-23 * size * 8;
      ASSERT_NEAR(reference::element(got[0], i, j), expected(i, j), bound)
          << name_of(c) << " at " << i << ", " << j;
    }
}

TEST(CudaMatmul, EveryLayoutOfOperands) {
  for (const auto& [m, n, k] :
       std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {3, 5, 2}, {17, 8, 33}, {2, 40, 1}, {1, 7, 64}})
    for (const bool a : {false, true})
      for (const bool b : {false, true})
        for (const auto& [in, out] : std::vector<std::pair<DType, DType>>{
                 {DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::bf16, DType::f32}})
          expect_product({m, n, k, a, b, in, out, false, in, Add::none, Write::overwrite});
}

TEST(CudaMatmul, BiasAddendAndAccumulation) {
  for (const int64_t k : {0, 9})
    for (const auto& [in, out] : std::vector<std::pair<DType, DType>>{
             {DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::bf16, DType::f32}})
      for (const bool bias : {false, true})
        for (const DType bias_type : {DType::f32, in})
          for (const Add add : {Add::none, Add::other, Add::itself})
            for (const Write write : {Write::overwrite, Write::accumulate}) {
              if (write == Write::accumulate && (out != DType::f32 || add == Add::itself)) continue;
              expect_product({5, 12, k, false, true, in, out, bias, bias_type, add, write});
            }
}

TEST(CudaMatmul, NothingIsPacked) {
  const auto stream = make_cuda_test_stream();
  EXPECT_EQ(packed_bytes(*stream, DType::bf16, 64, 64), 0);
}

}  // namespace
}  // namespace strata
