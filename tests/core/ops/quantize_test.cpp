// SPDX-License-Identifier: Apache-2.0
// Quantizing in every combination of factors for rows and columns: factors and codes are exactly those of the
// definition, on every device. Then back.
#include "core/ops/quantize.h"

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <optional>

#include "core/ops/op_table.h"
#include "core/tensor/bf16.h"
#include "tests/support/reference_quantize.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::Fp8Table;
using reference::Matrix;
using reference::to_matrix;

struct QuantizeCase {
  int64_t rows, cols;
  DType in = DType::bf16;
  Fp8Format row_format = Fp8Format::e4m3, column_format = Fp8Format::e4m3;
  std::optional<ScaleShape> row_shape, column_shape;
  ScaleKind kind = ScaleKind::f32;
  float given = 0;
};

constexpr ScaleShape kShapes[] = {ScaleShape::tensor, ScaleShape::row, ScaleShape::tile, ScaleShape::block};

std::string quantize_name(const QuantizeCase& c) {
  const auto shape = [](const std::optional<ScaleShape>& s) { return s ? static_cast<int>(*s) : -1; };
  return fmt::format("[{}, {}] {} rows {} columns {} kind {}", c.rows, c.cols, name(c.in), shape(c.row_shape),
                     shape(c.column_shape), static_cast<int>(c.kind));
}

Quantized make(TestTensors& t, Fp8Format format, std::optional<ScaleShape> shape, int64_t rows, int64_t k) {
  if (!shape) return {};
  return {t.uninitialised(dtype_of(format), {rows, k}),
          t.uninitialised(DType::f32, scales_shape(*shape, rows, k)), *shape};
}

void expect_quantized(const Tensor& codes, const Tensor& scales, const Matrix& x, Fp8Format format,
                      ScaleShape shape, const QuantizeCase& c) {
  const Fp8Table table(format);
  const reference::QuantizedMatrix expected = reference::quantize(x, format, shape, c.kind, c.given);
  const Matrix factors = to_matrix(scales);
  for (size_t i = 0; i < factors.values.size(); ++i)
    ASSERT_EQ(factors.values[i], expected.scales.values[i]) << quantize_name(c) << ": factor " << i;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) {
      const int code = static_cast<int>(codes.raw()[i * codes.stride(0) + j]);
      const int wanted = expected.codes[static_cast<size_t>(i * x.cols + j)];
      if (wanted == Fp8Table::kNan)
        ASSERT_TRUE(table.is_nan(code)) << quantize_name(c) << " at " << i << ", " << j << ": " << code;
      else
        ASSERT_EQ(code, wanted) << quantize_name(c) << " at " << i << ", " << j << " of " << x(i, j);
    }
}

// Quantizes `x` and compares everything with the definition.
void expect_case(const QuantizeCase& c, const std::vector<double>& values) {
  const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
    Quantize args{.x = t.numbers(c.in, {c.rows, c.cols}, values),
                  .rows = make(t, c.row_format, c.row_shape, c.rows, c.cols),
                  .columns = make(t, c.column_format, c.column_shape, c.cols, c.rows),
                  .kind = c.kind,
                  .given = {},
                  .amax = t.filled(DType::f32, {1}, 0.5f),
                  .counts = t.filled(DType::f64, {kQuantizeCounts}, 3)};
    if (c.given > 0) args.given = t.filled(DType::f32, {1}, c.given);
    quantize(stream, args);
    EXPECT_LE(stream.scratch().high_water(),
              round_up(scratch_table(stream.device().kind).quantize(args), kTensorAlignment));
    std::vector<Tensor> results{args.x, args.amax, args.counts};
    for (const Quantized& q : {args.rows, args.columns})
      if (q) results.insert(results.end(), {q.codes, q.scales});
    return results;
  });
  const Matrix x = to_matrix(got[0]);
  size_t next = 3;
  if (c.row_shape) {
    expect_quantized(got[next], got[next + 1], x, c.row_format, *c.row_shape, c);
    next += 2;
  }
  if (c.column_shape)
    expect_quantized(got[next], got[next + 1], reference::transpose(x), c.column_format, *c.column_shape, c);

  double amax = 0.5;
  for (const double value : x.values) amax = std::max(amax, std::isnan(value) ? INFINITY : std::fabs(value));
  EXPECT_EQ(got[1].data<float>()[0], std::isfinite(amax) ? amax : 0.5) << quantize_name(c);

  // The counts are those of rows, or of columns where these are absent.
  const bool rows = c.row_shape.has_value();
  const Matrix counted = rows ? x : reference::transpose(x);
  const Fp8Format format = rows ? c.row_format : c.column_format;
  const ScaleShape shape = rows ? *c.row_shape : *c.column_shape;
  const Fp8Table table(format);
  const reference::QuantizedMatrix q = reference::quantize(counted, format, shape, c.kind, c.given);
  double wanted[kQuantizeCounts] = {};
  for (int64_t i = 0; i < counted.rows; ++i)
    for (int64_t j = 0; j < counted.cols; ++j) {
      const double value = counted(i, j);
      const auto [r, s] = reference::place_of_scale(shape, i, j);
      const int code = q.codes[static_cast<size_t>(i * counted.cols + j)];
      const double scaled = std::fabs(static_cast<double>(static_cast<float>(value * q.multipliers(r, s))));
      const double half_way = format == Fp8Format::e4m3 ? 464 : 61439;
      wanted[kCountElements] += 1;
      wanted[kCountSaturated] += scaled > half_way ? 1 : 0;
      wanted[kCountUnderflow] += value != 0 && (code & 0x7F) == 0 && code != Fp8Table::kNan ? 1 : 0;
      if (!std::isfinite(value)) continue;
      wanted[kSumSquares] += value * value;
      wanted[kSumSquaredError] += std::pow(value - table.value(code) / q.multipliers(r, s), 2);
    }
  for (int i = 0; i < kQuantizeCounts; ++i)
    EXPECT_NEAR(got[2].data<double>()[i] - 3, wanted[i], (i < kSumSquares ? 0 : 1e-5 * wanted[i] + 1e-12))
        << quantize_name(c) << ": count " << i;
}

std::vector<double> normals(int64_t count, unsigned seed, double spread) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal, exponent(0, spread);
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(normal(random) * std::exp2(exponent(random)));
  return values;
}

TEST(Quantize, EveryPairOfShapes) {
  unsigned seed = 0;
  for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{{5, 3}, {130, 129}})
    for (int pair = 1; pair < 25; ++pair) {
      QuantizeCase c{.rows = rows, .cols = cols, .row_shape = {}, .column_shape = {}};
      if (pair % 5 > 0) c.row_shape = kShapes[pair % 5 - 1];
      if (pair / 5 > 0) c.column_shape = kShapes[pair / 5 - 1];
      // Everything else turns at its own pace.
      c.in = ++seed % 2 == 0 ? DType::bf16 : DType::f32;
      c.kind = seed / 2 % 2 == 0 ? ScaleKind::f32 : ScaleKind::pow2;
      c.row_format = seed % 3 == 0 ? Fp8Format::e5m2 : Fp8Format::e4m3;
      c.column_format = seed % 5 < 2 ? Fp8Format::e5m2 : Fp8Format::e4m3;
      expect_case(c, normals(rows * cols, seed, 3));
    }
}

TEST(Quantize, Extents) {
  unsigned seed = 50;
  for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {1, 130}, {127, 16}, {128, 128}, {64, 256}, {257, 31}})
    for (const ScaleShape shape : kShapes) {
      QuantizeCase c{.rows = rows, .cols = cols, .row_shape = shape, .column_shape = shape};
      c.in = ++seed % 3 == 0 ? DType::f32 : DType::bf16;
      c.kind = seed % 2 == 0 ? ScaleKind::f32 : ScaleKind::pow2;
      expect_case(c, normals(rows * cols, seed, 1));
    }
}

// Zeros, infinity, NaN, subnormals, the largest floats: each in a tile of its own, so that each is somebody's
// amax.
TEST(Quantize, SpecialValues) {
  const double specials[] = {0,        -0.0,       INFINITY, -INFINITY,  NAN,      0x1p-149, 0x1p-133,
                             0x1p-126, 0x1.8p-127, FLT_MAX,  0x1.fep127, 0x1p-118, 448,      57344};
  for (const ScaleKind kind : {ScaleKind::f32, ScaleKind::pow2})
    for (const DType in : {DType::f32, DType::bf16})
      for (const Fp8Format format : {Fp8Format::e4m3, Fp8Format::e5m2}) {
        std::vector<double> values;
        for (size_t i = 0; i < std::size(specials); ++i)
          for (int j = 0; j < 131; ++j)
            values.push_back(j % 3 == 0 ? specials[i] : specials[i] * 0.37 * (j % 7));
        for (const ScaleShape shape : {ScaleShape::tile, ScaleShape::row})
          expect_case({.rows = std::ssize(values) / 131,
                       .cols = 131,
                       .in = in,
                       .row_format = format,
                       .column_format = format,
                       .row_shape = shape,
                       .column_shape = shape,
                       .kind = kind},
                      values);
      }
}

TEST(Quantize, AFactorThatIsGiven) {
  for (const float given : {0.01f, 0x1p-6f, 3.0f})
    expect_case({.rows = 33,
                 .cols = 140,
                 .row_format = Fp8Format::e4m3,
                 .column_format = Fp8Format::e5m2,
                 .row_shape = ScaleShape::tensor,
                 .column_shape = ScaleShape::tensor,
                 .given = given},
                normals(33 * 140, 3, 2));
}

// The bands of Gaussian tiles (signal to noise in dB), from the spacing of the formats.
TEST(Quantize, NoiseOfGaussianTiles) {
  const struct {
    Fp8Format format;
    ScaleKind kind;
    double decibels;
  } bands[] = {{Fp8Format::e4m3, ScaleKind::f32, 31.8},
               {Fp8Format::e4m3, ScaleKind::pow2, 31.5},
               {Fp8Format::e5m2, ScaleKind::f32, 25.8},
               {Fp8Format::e5m2, ScaleKind::pow2, 25.5}};
  for (const auto& band : bands) {
    const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
      const Tensor x = t.normal(DType::f32, {256, 1024});
      const Tensor counts = t.filled(DType::f64, {kQuantizeCounts}, 0);
      quantize(stream, {.x = x,
                        .rows = make(t, band.format, ScaleShape::tile, 256, 1024),
                        .columns = {},
                        .kind = band.kind,
                        .given = {},
                        .amax = {},
                        .counts = counts});
      return std::vector{counts};
    });
    const double* const counts = got[0].data<double>();
    EXPECT_NEAR(10 * std::log10(counts[kSumSquares] / counts[kSumSquaredError]), band.decibels, 0.2);
  }
}

TEST(Quantize, BlocksAreTransposedWithoutLoss) {
  const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
    const Tensor x = t.normal(DType::bf16, {200, 300});
    const Quantized rows = make(t, Fp8Format::e4m3, ScaleShape::block, 200, 300),
                    columns = make(t, Fp8Format::e4m3, ScaleShape::block, 300, 200);
    quantize(stream, {.x = x, .rows = rows, .columns = columns, .given = {}, .amax = {}, .counts = {}});
    return std::vector{rows.codes, rows.scales, columns.codes, columns.scales};
  });
  for (int64_t i = 0; i < 200; ++i)
    for (int64_t j = 0; j < 300; ++j)
      ASSERT_EQ(got[0].raw()[i * got[0].stride(0) + j], got[2].raw()[j * got[2].stride(0) + i]);
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 3; ++j) ASSERT_EQ(to_matrix(got[1])(i, j), to_matrix(got[3])(j, i));
}

TEST(Dequantize, IsCodeTimesFactorRoundedOnce) {
  for (const Fp8Format format : {Fp8Format::e4m3, Fp8Format::e5m2})
    for (const ScaleShape shape : kShapes)
      for (const DType out_type : {DType::f32, DType::bf16}) {
        const int64_t rows = 131, k = 257;
        const Shape scales = scales_shape(shape, rows, k);
        std::vector<double> codes, factors;
        for (int64_t i = 0; i < rows * k; ++i) codes.push_back(static_cast<double>(i * 7 % 256));
        for (int64_t i = 0; i < scales.numel(); ++i)
          factors.push_back(static_cast<float>(0.37 * static_cast<double>(i + 1)));
        const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
          const Tensor out = t.uninitialised(out_type, {rows, k});
          dequantize(
              stream,
              {t.numbers(dtype_of(format), {rows, k}, codes), t.numbers(DType::f32, scales, factors), shape},
              out);
          return std::vector{out};
        });
        const Fp8Table table(format);
        const Matrix out = to_matrix(got[0]);
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < k; ++j) {
            const double value = table.value(static_cast<int>(codes[static_cast<size_t>(i * k + j)]));
            const auto [r, c] = reference::place_of_scale(shape, i, j);
            const int64_t width = scales.rank() == 2 ? scales[1] : 0;
            const auto product = static_cast<float>(value * factors[static_cast<size_t>(r * width + c)]);
            const float wanted = out_type == DType::f32 ? product : to_float(to_bf16(product));
            if (std::isnan(value))
              ASSERT_TRUE(std::isnan(out(i, j)));
            else
              ASSERT_EQ(out(i, j), static_cast<double>(wanted)) << i << ", " << j;
          }
      }
}

}  // namespace
}  // namespace strata
