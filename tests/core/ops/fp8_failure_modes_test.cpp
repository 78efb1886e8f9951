// SPDX-License-Identifier: Apache-2.0
// What goes wrong without the precautions of block recipes, shown on numbers: sums without promotion, and
// blocks of 128 x 128 for gradients.
#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/quantize.h"
#include "tests/support/reference_quantize.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

// Adds as Hopper's tensor cores do (DeepSeek-V3, arXiv:2412.19437, section 3.5.2): 32 products at a time are
// aligned to the largest exponent among them and the sum so far, and cut off behind 14 bits.
double add_aligned(double sum, const double* products, int count) {
  double largest = std::fabs(sum);
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::fabs(products[i]));
  if (largest == 0) return 0;
  const double unit = std::ldexp(1.0, std::ilogb(largest) - 13);
  double total = std::trunc(sum / unit) * unit;
  for (int i = 0; i < count; ++i) total += std::trunc(products[i] / unit) * unit;
  return total;
}

TEST(Fp8FailureModes, LongSumsNeedPromotion) {
  constexpr int64_t kRows = 16, kInner = 4096;
  WorkerPool pool(2);
  CpuStream stream(pool);
  TestTensors t(7);
  const auto quantized = [&] {
    const Tensor x = t.normal(DType::f32, {kRows, kInner}, 1, 0.5);
    const Quantized q{t.uninitialised(DType::f8e4m3, {kRows, kInner}),
                      t.uninitialised(DType::f32, scales_shape(ScaleShape::tile, kRows, kInner)),
                      ScaleShape::tile};
    quantize(stream, {.x = x, .rows = q, .columns = {}, .given = {}, .amax = {}, .counts = {}});
    return q;
  };
  const Quantized a = quantized(), b = quantized();
  const Tensor out = t.uninitialised(DType::f32, {kRows, kRows});
  quantized_matmul(stream, {.a = a, .b = b, .packed_b = {}, .out = out, .bias = {}, .add = {}});

  double plain = 0, promoted = 0, ours = 0, size = 0;
  const reference::Fp8Table table(Fp8Format::e4m3);
  for (int64_t i = 0; i < kRows; ++i)
    for (int64_t j = 0; j < kRows; ++j) {
      double exact = 0, running = 0, sum = 0;
      for (int64_t chunk = 0; chunk < kInner / 128; ++chunk) {
        const double factor = static_cast<double>(a.scales.data<float>()[i * a.scales.stride(0) + chunk]) *
                              static_cast<double>(b.scales.data<float>()[j * b.scales.stride(0) + chunk]);
        double partial = 0;
        for (int64_t l = chunk * 128; l < chunk * 128 + 128; l += 32) {
          double products[32];
          for (int64_t e = 0; e < 32; ++e) {
            products[e] = table.value(static_cast<int>(a.codes.raw()[i * a.codes.stride(0) + l + e])) *
                          table.value(static_cast<int>(b.codes.raw()[j * b.codes.stride(0) + l + e]));
            exact += products[e] * factor;
          }
          partial = add_aligned(partial, products, 32);
          for (double& product : products) product *= factor;
          running = add_aligned(running, products, 32);
        }
        sum += partial * factor;
      }
      plain += std::pow(running - exact, 2);
      promoted += std::pow(sum - exact, 2);
      ours += std::pow(static_cast<double>(out.data<float>()[i * out.stride(0) + j]) - exact, 2);
      size += exact * exact;
    }
  EXPECT_GT(std::sqrt(plain / size), 1e-3);
  EXPECT_LT(std::sqrt(promoted / size), std::sqrt(plain / size) / 4);
  EXPECT_LT(std::sqrt(ours / size), 2e-6);
}

// A gradient some of whose rows (tokens) are 20,000 times the others: a factor shared with such a row leaves
// its neighbours nothing, a factor of their own does.
TEST(Fp8FailureModes, BlocksLoseGradientsOfOrdinaryTokens) {
  constexpr int64_t kRows = 256, kCols = 256;
  WorkerPool pool(2);
  CpuStream stream(pool);
  TestTensors t(3);
  std::vector<double> values;
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < kRows; ++i)
    for (int64_t j = 0; j < kCols; ++j) values.push_back(normal(t.random()) * (i % 64 == 5 ? 1e3 : 0.05));
  const auto decibels = [&](ScaleShape shape) {
    const Tensor x = t.numbers(DType::f32, {kRows, kCols}, values),
                 back = t.uninitialised(DType::f32, {kRows, kCols});
    const Quantized q{t.uninitialised(DType::f8e4m3, {kRows, kCols}),
                      t.uninitialised(DType::f32, scales_shape(shape, kRows, kCols)), shape};
    quantize(stream, {.x = x, .rows = q, .columns = {}, .given = {}, .amax = {}, .counts = {}});
    dequantize(stream, q, back);
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < kCols && i % 64 != 5; ++j) {
        const auto at = static_cast<double>(x.data<float>()[i * x.stride(0) + j]);
        signal += at * at;
        noise += std::pow(at - static_cast<double>(back.data<float>()[i * back.stride(0) + j]), 2);
      }
    return 10 * std::log10(signal / noise);
  };
  EXPECT_GT(decibels(ScaleShape::tile), 31);
  EXPECT_LT(decibels(ScaleShape::block), 25);
}

}  // namespace
}  // namespace strata
