// SPDX-License-Identifier: Apache-2.0
#include "core/ops/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/tensor/bf16.h"
#include "core/tensor/stochastic_rounding.h"
#include "tests/support/matrix.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

TEST(Copy, ConvertsWithAnyStride) {
  for (const auto& [rows, cols] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 17}, {5, 64}, {700, 33}, {2, 70001}})
    for (const DType from : {DType::f32, DType::bf16})
      for (const DType to : {DType::f32, DType::bf16}) {
        TestTensors t;
        const Matrix expected = to_matrix(t.normal(from, {rows, cols}));
        const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
          const Tensor x = tensors.normal(from, {rows, cols}), y = tensors.uninitialised(to, {rows, cols});
          copy(stream, x, y);
          const Tensor flat = tensors.normal(from, {rows * cols}),
                       dense = tensors.uninitialised(to, {rows * cols});
          copy(stream, flat, dense);
          return std::vector{y, dense, flat};
        });
        expect_close(got[1], to_matrix(got[2]), {.sums = 0}, "flat");
        expect_close(got[0], expected, {.sums = 0}, fmt::format("{} to {}", name(from), name(to)));
      }
}

// Every bf16 and, of each, the floats around the points where rounding turns.
TEST(Copy, RoundsLikeTheScalarConversion) {
  std::vector<float> values;
  for (uint32_t high = 0; high < 65536; ++high)
    for (const uint32_t low : {0x0000u, 0x0001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      values.push_back(std::bit_cast<float>(high << 16 | low));
  const int64_t count = static_cast<int64_t>(values.size());
  WorkerPool pool(1);
  for (const Isa isa : isas_here()) {
    CpuStream stream(pool, CpuStream::Mode::inline_, isa);
    std::vector<bf16> rounded(values.size());
    std::vector<float> back(values.size());
    copy(stream, Tensor::borrow(values.data(), DType::f32, {count}),
         Tensor::borrow(rounded.data(), DType::bf16, {count}));
    copy(stream, Tensor::borrow(rounded.data(), DType::bf16, {count}),
         Tensor::borrow(back.data(), DType::f32, {count}));
    int64_t wrong = 0;
    for (size_t i = 0; i < values.size(); ++i)
      wrong += rounded[i].bits != to_bf16(values[i]).bits ||
               std::bit_cast<uint32_t>(back[i]) != std::bit_cast<uint32_t>(to_float(rounded[i]));
    EXPECT_EQ(wrong, 0) << name(isa);
  }
}

TEST(Elementwise, FillAddScale) {
  for (const int64_t count : {1, 15, 16, 33, 100003})
    for (const DType type : {DType::f32, DType::bf16}) {
      TestTensors t;
      const Matrix a = to_matrix(t.normal(type, {count})), b = to_matrix(t.normal(type, {count}));
      Matrix sum = a, third = a;
      for (size_t i = 0; i < a.values.size(); ++i) sum.values[i] += b.values[i];
      const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
        const Tensor x = tensors.normal(type, {count}), y = tensors.normal(type, {count});
        const Tensor out = tensors.uninitialised(type, {count}),
                     filled = tensors.uninitialised(type, {count});
        add(stream, x, y, out);
        add(stream, x, y, x);
        fill(stream, filled, 0.75f);
        const Tensor scaled = tensors.normal(DType::f32, {count});
        scale(stream, scaled, 0.5f);
        return std::vector{out, x, filled, scaled};
      });
      expect_close(got[0], sum, {.sums = 1}, "add");
      EXPECT_TRUE(bytes_of(got[0]) == bytes_of(got[1])) << "in place";
      for (const double v : to_matrix(got[2]).values) ASSERT_EQ(v, 0.75);
    }
  for (const DType type : {DType::f32, DType::bf16}) {
    constexpr int64_t kRows = 30, kColumns = 37;
    TestTensors t;
    const auto make = [&](TestTensors& from) {
      return std::pair{from.normal(type, {kRows * kColumns}).view({kRows, kColumns}),
                       from.normal(type, {kColumns})};
    };
    const auto [x, bias] = make(t);
    Matrix sum = to_matrix(x);
    const Matrix added = to_matrix(bias);
    for (int64_t i = 0; i < kRows; ++i)
      for (int64_t j = 0; j < kColumns; ++j) sum(i, j) += added(0, j);
    const auto rows = run_everywhere([&](Stream& stream, TestTensors& tensors) {
      const auto [a, b] = make(tensors);
      add(stream, a, b, a);
      return std::vector{a};
    });
    expect_close(rows[0], sum, {.sums = 1}, "add to every row");
  }
  const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
    const Tensor x = tensors.filled(DType::f32, {77}, 3.0f);
    scale(stream, x, -0.1f);
    return std::vector{x};
  });
  for (const double v : to_matrix(got[0]).values) ASSERT_EQ(v, static_cast<double>(3.0f * -0.1f));
}

constexpr RandomKey kRoundingKey{.seed = 11, .stream = 0xABCDEF0123456789u, .step = 2};

TEST(FillNormal, IsBoxAndMullerOnPhiloxBlocks) {
  const int64_t count = 1003;
  const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
    const Tensor x = tensors.uninitialised(DType::f32, {count});
    fill_normal(stream, x, kRoundingKey, 0, 2.5f);
    return std::vector{x};
  });
  Matrix expected(1, count);
  for (int64_t i = 0; i < count; ++i) {
    const PhiloxBlock block = random_block(kRoundingKey, static_cast<uint64_t>(i / 4));
    const size_t pair = static_cast<size_t>(i % 4 / 2 * 2);
    const double u1 = (block[pair] >> 8) + 0.5, u2 = (block[pair + 1] >> 8) + 0.5;
    const double radius = 2.5 * std::sqrt(-2 * std::log(u1 / 16777216)), angle = 2 * M_PI * u2 / 16777216;
    expected(0, i) = radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
  }
  // u is rounded to 24 bits: near 1 half a step moves the radius, near 0 not; the angle by 2 pi 2^-24 at
  // most.
  expect_close(got[0], expected, {.sums = 12}, "normal");
}

TEST(FillNormal, APieceHoldsWhatTheWholeHoldsThere) {
  WorkerPool pool(2);
  CpuStream stream(pool);
  TestTensors t;
  const Tensor whole = t.uninitialised(DType::f32, {40000});
  fill_normal(stream, whole, kRoundingKey, 1000, 1.0f);
  for (const auto& [begin, count] :
       std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {3, 5}, {31, 70}, {17001, 20000}}) {
    const Tensor piece = t.uninitialised(DType::f32, {count});
    fill_normal(stream, piece, kRoundingKey, 1000 + static_cast<uint64_t>(begin), 1.0f);
    EXPECT_TRUE(bytes_of(piece) == bytes_of(whole.slice(0, begin, count))) << begin << " +" << count;
  }
}

// Moments of 2^20 numbers; each bound is five standard deviations of the estimate.
TEST(FillNormal, HasTheMomentsOfANormalDistribution) {
  WorkerPool pool(2);
  CpuStream stream(pool);
  const int64_t count = 1 << 20;
  TestTensors t;
  const Tensor x = t.uninitialised(DType::f32, {count});
  fill_normal(stream, x, kRoundingKey, 0, 1.0f);
  double mean = 0, square = 0, fourth = 0, beyond = 0;
  for (const float v : x.span<float>()) {
    ASSERT_TRUE(std::isfinite(v));
    mean += v;
    square += double{v} * v;
    fourth += double{v} * v * v * v;
    beyond += std::fabs(v) > 3;
  }
  const double n = static_cast<double>(count);
  EXPECT_NEAR(mean / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(square / n, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3, 5 * std::sqrt(96 / n));
  EXPECT_NEAR(beyond / n, 0.0026998, 5 * std::sqrt(0.0027 / n));
}

// Ordinary numbers, and every kind that rounding could spoil.
std::vector<double> numbers_to_round(int64_t count) {
  const double huge = std::numeric_limits<float>::max(), infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> special{0.0,          -0.0,  huge,   -huge, infinity, -infinity,
                                    std::nan(""), 1e-40, -1e-45, 1.0,   -2.5};
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal;
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(i % 3 == 0 ? special[static_cast<size_t>(i / 3) % special.size()]
                                : double{normal(random)});
  return values;
}

TEST(StochasticRound, IsTheScalarFunctionWhereverASliceBegins) {
  for (const int64_t count : {1, 7, 8, 9, 16, 1000, 4096, 70001})
    for (const uint64_t first : {uint64_t{0}, uint64_t{3}, uint64_t{8}, (uint64_t{1} << 36) + 5}) {
      const std::vector<double> values = numbers_to_round(count);
      const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
        const Tensor x = tensors.numbers(DType::f32, {count}, values),
                     y = tensors.uninitialised(DType::bf16, {count});
        stochastic_round(stream, x, y, kRoundingKey, first);
        return std::vector{y};
      });
      for (int64_t i = 0; i < count; ++i)
        ASSERT_EQ(got[0].data<bf16>()[i].bits,
                  stochastic_round(static_cast<float>(values[static_cast<size_t>(i)]), kRoundingKey,
                                   first + static_cast<uint64_t>(i))
                      .bits)
            << i << " of " << count << " from " << first;
    }
}

TEST(StochasticRound, PiecesMakeTheWhole) {
  constexpr int64_t kCount = 20003;
  const std::vector<double> values = numbers_to_round(kCount);
  const auto whole = run_everywhere([&](Stream& stream, TestTensors& tensors) {
    const Tensor x = tensors.numbers(DType::f32, {kCount}, values),
                 y = tensors.uninitialised(DType::bf16, {kCount});
    stochastic_round(stream, x, y, kRoundingKey, 100);
    return std::vector{y};
  });
  for (const int64_t piece : {999, 4096, 13000}) {
    const auto pieces = run_everywhere([&](Stream& stream, TestTensors& tensors) {
      const Tensor x = tensors.numbers(DType::f32, {kCount}, values),
                   y = tensors.uninitialised(DType::bf16, {kCount});
      for (int64_t begin = 0; begin < kCount; begin += piece) {
        const int64_t size = std::min(piece, kCount - begin);
        stochastic_round(stream, x.slice(0, begin, size), y.slice(0, begin, size), kRoundingKey,
                         100 + static_cast<uint64_t>(begin));
      }
      return std::vector{y};
    });
    EXPECT_TRUE(bytes_of(pieces[0]) == bytes_of(whole[0])) << piece;
  }
}

TEST(StochasticRound, TheMeanOfAMillionDrawsIsTheNumber) {
  constexpr int64_t kCount = 1 << 20;
  WorkerPool pool(2);
  CpuStream stream(pool);
  TestTensors t;
  constexpr float kValue = 1.001f;  // between 1 and 1 + 2^-7
  const Tensor x = t.filled(DType::f32, {kCount}, kValue), y = t.uninitialised(DType::bf16, {kCount});
  stochastic_round(stream, x, y, kRoundingKey, 0);
  double sum = 0;
  for (const bf16 v : y.span<bf16>()) sum += static_cast<double>(to_float(v));
  const double p = (static_cast<double>(kValue) - 1) * 128, sigma = std::sqrt(p * (1 - p) / kCount) / 128;
  EXPECT_NEAR(sum / kCount, static_cast<double>(kValue), 3 * sigma);
}

TEST(Elementwise, BrokenContractsAreNamed) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const ContractError& error) {
      return error.what();
    }
    return "no error";
  };
  const Tensor x = t.normal(DType::f32, {3, 4}), y = t.normal(DType::f32, {4, 3});
  EXPECT_EQ(message([&] { copy(stream, x, y); }), "[copy] to: expected [3, 4], got [4, 3]");
  EXPECT_EQ(message([&] { copy(stream, {}, y); }), "[copy] from: expected rank 1 or 2, got nothing");
  EXPECT_EQ(message([&] { fill(stream, x, 0); }),
            "[fill] x: expected a contiguous tensor, got a strided [3, 4]");
  EXPECT_EQ(message([&] { scale(stream, t.normal(DType::bf16, {4}), 1); }),
            "[scale] x: expected f32, got bf16");
  EXPECT_EQ(message([&] {
              stochastic_round(stream, t.normal(DType::f32, {4}), t.normal(DType::f32, {4}), kRoundingKey, 0);
            }),
            "[stochastic_round] to: expected bf16, got f32");
  EXPECT_EQ(message([&] { stochastic_round(stream, x, t.normal(DType::bf16, {12}), kRoundingKey, 0); }),
            "[stochastic_round] from: expected a contiguous tensor, got a strided [3, 4]");
  EXPECT_EQ(message([&] { fill_normal(stream, t.normal(DType::f32, {4}), kRoundingKey, 0, -1); }),
            "[fill_normal] std: expected a finite number of at least 0, got -1");
}

}  // namespace
}  // namespace strata
