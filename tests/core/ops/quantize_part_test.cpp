// SPDX-License-Identifier: Apache-2.0
// Parts of a matrix, wherever they end, have the factors and codes that quantize() makes of the whole, on
// every device.
#include "core/ops/quantize_part.h"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <cstring>

#include "core/ops/op_table.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

struct QuantizePartCase {
  int64_t rows, k;
  int ways;
  ScaleShape shape = ScaleShape::block;
  ScaleKind kind = ScaleKind::pow2;
  DType in = DType::bf16;
  bool specials = false;
};

std::vector<double> values_of(const QuantizePartCase& c) {
  std::mt19937 random(static_cast<unsigned>(c.rows * 31 + c.k + c.ways));
  std::normal_distribution<double> normal, exponent(0, 3);
  std::vector<double> values;
  for (int64_t i = 0; i < c.rows * c.k; ++i) values.push_back(normal(random) * std::exp2(exponent(random)));
  if (!c.specials) return values;
  const double specials[] = {INFINITY, NAN, 0x1p-133, FLT_MAX / 4, -0.0};
  for (size_t i = 0; i < std::size(specials); ++i)
    values[i * values.size() / std::size(specials)] = specials[i];
  return values;
}

// The i-th in row-major order.
float element(const Tensor& factors, int64_t i) {
  const int64_t columns = factors.rank() == 2 ? factors.dim(1) : 1;
  return factors.data<float>()[i / columns * factors.stride(0) + i % columns];
}

void expect_parts(const QuantizePartCase& c) {
  const std::vector<double> values = values_of(c);
  const int64_t count = round_up(c.rows * c.k, 32 * c.ways) / c.ways;
  const Shape scales = scales_shape(c.shape, c.rows, c.k);
  // Of the whole, then of every part: codes and factors.
  const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
    const auto floats = [&] { return t.uninitialised(DType::f32, {scales.numel()}).view(scales); };
    const Quantized whole{t.uninitialised(DType::f8e4m3, {c.rows, c.k}), floats(), c.shape};
    quantize(stream, {.x = t.numbers(c.in, {c.rows, c.k}, values), .rows = whole, .kind = c.kind});
    std::vector<MatrixPart> parts;
    std::vector<double> most(static_cast<size_t>(scales.numel()));
    for (int way = 0; way < c.ways; ++way) {
      std::vector<double> own(static_cast<size_t>(count));
      for (int64_t i = 0; i < count; ++i)
        if (const int64_t at = way * count + i; at < std::ssize(values))
          own[static_cast<size_t>(i)] = values[static_cast<size_t>(at)];
      parts.push_back({t.numbers(c.in, {count}, own), way * count, c.rows, c.k, c.shape});
      const Tensor amax = floats();
      stream.scratch().reset_high_water();
      part_magnitudes(stream, parts.back(), amax);
      EXPECT_LE(
          stream.scratch().high_water(),
          round_up(scratch_table(stream.device().kind).part_magnitudes(parts.back()), kTensorAlignment));
      stream.synchronize();
      const Tensor here = t.on_host(amax);
      for (int64_t i = 0; i < scales.numel(); ++i)
        most[static_cast<size_t>(i)] =
            std::max(most[static_cast<size_t>(i)], static_cast<double>(element(here, i)));
    }
    std::vector<Tensor> results{whole.codes, whole.scales};
    for (const MatrixPart& part : parts) {
      const QuantizePart args{.part = part,
                              .amax = t.numbers(DType::f32, {scales.numel()}, most).view(scales),
                              .kind = c.kind,
                              .codes = t.uninitialised(DType::f8e4m3, {count}),
                              .scales = floats()};
      quantize_part(stream, args);
      results.insert(results.end(), {args.codes, args.scales});
    }
    return results;
  });
  const auto code = [](const Tensor& codes, int64_t at) { return static_cast<int>(codes.raw()[at]); };
  for (int way = 0; way < c.ways; ++way) {
    const Tensor &codes = got[static_cast<size_t>(2 + 2 * way)],
                 &factors = got[static_cast<size_t>(3 + 2 * way)];
    for (int64_t i = 0; i < scales.numel(); ++i)
      ASSERT_EQ(element(factors, i), element(got[1], i)) << "factor " << i;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = way * count + i;
      const int wanted = at < c.rows * c.k ? code(got[0], at / c.k * got[0].stride(0) + at % c.k) : 0;
      const bool nan = (wanted & 0x7F) == 0x7F;
      if (nan)
        ASSERT_EQ(code(codes, i) & 0x7F, 0x7F)
            << "[" << c.rows << ", " << c.k << "] / " << c.ways << " at " << at;
      else
        ASSERT_EQ(code(codes, i), wanted) << "[" << c.rows << ", " << c.k << "] / " << c.ways << " at " << at;
    }
  }
}

TEST(QuantizePart, IsThatPartOfTheWhole) {
  for (const auto& [rows, k] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {5, 3}, {130, 129}, {128, 128}, {300, 48}, {3, 500}, {257, 160}})
    for (const int ways : {1, 2, 4, 7}) {
      expect_parts({.rows = rows, .k = k, .ways = ways});
      expect_parts({.rows = rows,
                    .k = k,
                    .ways = ways,
                    .shape = ScaleShape::tensor,
                    .kind = ScaleKind::f32,
                    .in = ways % 2 == 0 ? DType::f32 : DType::bf16});
    }
}

TEST(QuantizePart, SpecialValues) {
  for (const ScaleShape shape : {ScaleShape::tensor, ScaleShape::block})
    expect_parts({.rows = 260, .k = 140, .ways = 3, .shape = shape, .in = DType::f32, .specials = true});
}

}  // namespace
}  // namespace strata
