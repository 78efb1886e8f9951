// SPDX-License-Identifier: Apache-2.0
#include "core/ops/reduce.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/ops/op_table.h"
#include "core/tensor/bf16.h"
#include "tests/support/matrix.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

TEST(ColumnSum, IsTheReference) {
  for (const auto& [rows, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 17}, {8, 16}, {9, 300}, {1030, 33}, {2000, 5}})
    for (const DType type : {DType::f32, DType::bf16})
      for (const Write write : {Write::overwrite, Write::accumulate}) {
        const auto make = [&](TestTensors& t) {
          return std::vector{t.normal(type, {rows, columns}), t.normal(DType::f32, {columns})};
        };
        TestTensors t;
        const auto in = make(t);
        const Matrix x = to_matrix(in[0]);
        Matrix expected = to_matrix(in[1]);
        if (write == Write::overwrite) std::fill(expected.values.begin(), expected.values.end(), 0.0);
        for (int64_t i = 0; i < rows; ++i)
          for (int64_t j = 0; j < columns; ++j) expected(0, j) += x(i, j);
        const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
          const auto args = make(tensors);
          const ColumnSum sum{.x = args[0], .out = args[1], .write = write};
          column_sum(stream, sum);
          EXPECT_LE(stream.scratch().high_water(),
                    round_up(scratch_table(stream.device().kind).column_sum(sum), kTensorAlignment));
          return std::vector{args[1]};
        });
        // A random walk of `rows` roundings, each relative to a sum of size sqrt(rows).
        const double size = std::sqrt(static_cast<double>(rows));
        expect_close(got[0], expected, {.sums = 4 * size, .scale = 1 + size},
                     fmt::format("{} x {}", rows, columns));
      }
}

// ---- BinnedSum
// ----------------------------------------------------------------------------------------------------

// The square as the operation defines it: cut to 31 leading bits.
double cut_square(float x) {
  const double square = static_cast<double>(x) * static_cast<double>(x);
  return std::bit_cast<double>(std::bit_cast<uint64_t>(square) & ~((uint64_t{1} << 22) - 1));
}

// An exact sum by other means: Shewchuk's expansions (1997) keep it as doubles that do not overlap; the
// largest, corrected by the rest, is the sum rounded once.
class Expansion {
 public:
  void add(double x) {
    std::vector<double> next;
    for (double y : parts_) {
      if (std::fabs(x) < std::fabs(y)) std::swap(x, y);
      const double high = x + y, low = y - (high - x);
      if (low != 0) next.push_back(low);
      x = high;
    }
    next.push_back(x);
    parts_ = next;
  }
  double value() const {
    double total = 0;
    size_t i = parts_.size();
    double low = 0;
    while (i > 0) {
      const double x = total, y = parts_[--i];
      total = x + y;
      low = y - (total - x);
      if (low != 0) break;
    }
    // Half-way cases are decided by the sign of what follows.
    if (i > 0 && ((low < 0 && parts_[i - 1] < 0) || (low > 0 && parts_[i - 1] > 0))) {
      const double twice = low * 2, rounded = total + twice;
      if (twice == rounded - total) total = rounded;
    }
    return total;
  }

 private:
  std::vector<double> parts_;
};

enum class Kind { normal, wide, denormal, mixed };

std::vector<float> numbers(Kind kind, size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(-149, 127), low(-149, -120), few(0, 9);
  std::vector<float> x;
  for (size_t i = 0; i < count; ++i) {
    const float n = normal(random);
    switch (kind) {
      case Kind::normal:
        x.push_back(n * 1e-3f);
        break;
      case Kind::wide:
        x.push_back(std::ldexp(1.0f + std::fabs(n) / 8, exponent(random) - 1));
        break;
      case Kind::denormal:
        x.push_back(std::ldexp(n, low(random)));
        break;
      case Kind::mixed:
        x.push_back(few(random) == 0 ? 0.0f : few(random) == 1 ? -n * 1e-12f : n);
        break;
    }
  }
  return x;
}

BinnedSum sum_on(Stream& stream, const std::vector<float>& values) {
  BinnedSum sum;
  std::vector<float> copy = values;
  sum_of_squares(stream, Tensor::borrow(copy.data(), DType::f32, {static_cast<int64_t>(copy.size())}), &sum);
  stream.synchronize();
  return sum;
}

TEST(SumOfSquares, IsExactAndHasOneFormWhateverTheOrder) {
  std::mt19937_64 random(3);
  WorkerPool one(1), two(2);
  for (const Kind kind : {Kind::normal, Kind::wide, Kind::denormal, Kind::mixed})
    for (const size_t count : {size_t{1}, size_t{15}, size_t{64}, size_t{1025}, size_t{150000}}) {
      std::vector<float> values = numbers(kind, count, random);
      Expansion exact;
      for (const float v : values) exact.add(cut_square(v));
      CpuStream stream(one);
      const BinnedSum first = sum_on(stream, values);
      EXPECT_EQ(first.value(), exact.value()) << "kind " << static_cast<int>(kind) << " count " << count;
      EXPECT_EQ(first.non_finite, 0);
      for (const Isa isa : isas_here()) {
        CpuStream other(two, CpuStream::Mode::inline_, isa);
        std::shuffle(values.begin(), values.end(), random);
        const size_t cut = random() % (count + 1);
        BinnedSum parts = sum_on(other, {values.begin() + static_cast<std::ptrdiff_t>(cut), values.end()});
        parts.add(sum_on(other, {values.begin(), values.begin() + static_cast<std::ptrdiff_t>(cut)}));
        EXPECT_EQ(parts.bins, first.bins)
            << name(isa) << " kind " << static_cast<int>(kind) << " count " << count;
      }
    }
}

TEST(SumOfSquares, Bf16IsExact) {
  const auto make = [](TestTensors& t) { return t.normal(DType::bf16, {3001}, 0.01); };
  TestTensors t;
  Expansion exact;
  for (const double v : to_matrix(make(t)).values) exact.add(v * v);
  WorkerPool pool(2);
  for (const Isa isa : isas_here()) {
    CpuStream stream(pool, CpuStream::Mode::inline_, isa);
    TestTensors tensors;
    BinnedSum sum;
    sum_of_squares(stream, make(tensors), &sum);
    EXPECT_EQ(sum.value(), exact.value()) << name(isa);
  }
}

TEST(SumOfSquares, NonFiniteElementsAreCountedAndLeftOut) {
  WorkerPool pool(2);
  std::vector<float> values(5000, 0.5f);
  values[7] = NAN;
  values[1500] = INFINITY;
  values[4999] = -INFINITY;
  for (const Isa isa : isas_here()) {
    CpuStream stream(pool, CpuStream::Mode::inline_, isa);
    const BinnedSum sum = sum_on(stream, values);
    EXPECT_EQ(sum.non_finite, 3);
    EXPECT_EQ(sum.value(), 0.25 * 4997);
  }
}

// All squares as large as a block's scale allows: their sums must still fit the words they are added up in.
TEST(SumOfSquares, BlocksOfEqualElementsFitTheirSums) {
  WorkerPool pool(1);
  for (const float x : {std::nextafter(2.0f, 0.0f), std::nextafter(0x1p-90f, 0.0f), 1.0f})
    for (const Isa isa : isas_here()) {
      CpuStream stream(pool, CpuStream::Mode::inline_, isa);
      EXPECT_EQ(sum_on(stream, std::vector<float>(1 << 17, x)).value(), std::ldexp(cut_square(x), 17))
          << name(isa) << " " << x;
    }
}

TEST(BinnedSum, ExtremesFitAndRoundOnce) {
  const float largest = std::numeric_limits<float>::max(),
              smallest = std::numeric_limits<float>::denorm_min();
  WorkerPool pool(1);
  CpuStream stream(pool);
  EXPECT_EQ(sum_on(stream, {smallest}).value(), 0x1p-298);
  EXPECT_EQ(sum_on(stream, {largest}).value(), cut_square(largest));
  EXPECT_EQ(sum_on(stream, {}).value(), 0);
  EXPECT_EQ(sum_on(stream, std::vector<float>(3, largest)).value(), 3 * cut_square(largest));

  // 2^53 + 1 is a tie and goes to even; a speck below decides it upwards.
  BinnedSum sum;
  sum.add(uint64_t{1} << 53, 0);
  sum.add(uint64_t{1}, 0);
  EXPECT_EQ(sum.value(), 0x1p53);
  sum.add(0x1p-298);
  EXPECT_EQ(sum.value(), 0x1p53 + 2);
  BinnedSum carries;  // through every limb
  for (int i = 0; i < BinnedSum::kBins - 1; ++i)
    carries.add(0xFFFFFFFFu, BinnedSum::kLowestExponent + 32 * i);
  carries.add(uint64_t{1}, BinnedSum::kLowestExponent);
  EXPECT_EQ(carries.value(), std::ldexp(1.0, BinnedSum::kLowestExponent + 32 * (BinnedSum::kBins - 1)));
  EXPECT_EQ(carries.bins[0], 0);
}

TEST(BinnedSum, AnAllReduceOfBinsIsASumOfSets) {
  std::mt19937_64 random(5);
  WorkerPool pool(1);
  CpuStream stream(pool);
  BinnedSum reduced, whole;
  for (int rank = 0; rank < 40; ++rank) {
    const BinnedSum part = sum_on(stream, numbers(Kind::wide, 500, random));
    for (int i = 0; i < BinnedSum::kBins; ++i)
      reduced.bins[i] += part.bins[i];  // as MPI_SUM would, no carries
    whole.add(part);
  }
  EXPECT_EQ(reduced.value(), whole.value());
}

TEST(BinnedSum, SignedNumbersCancelExactlyAndLeaveOneForm) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> exponent(-240, 240);
  for (int round = 0; round < 50; ++round) {
    std::vector<double> values;
    for (int i = 0; i < 300; ++i) values.push_back(std::ldexp(normal(random), exponent(random)));
    Expansion exact;
    BinnedSum forward, backward, positive, negative;
    for (const double v : values) {
      exact.add(v);
      forward.add(v);
      (v < 0 ? negative : positive).add(v);
    }
    std::shuffle(values.begin(), values.end(), random);
    for (const double v : values) backward.add(v);
    EXPECT_EQ(forward.value(), exact.value());
    EXPECT_EQ(forward.bins, backward.bins);
    EXPECT_LT(negative.value(), 0);
    negative.add(positive);
    EXPECT_EQ(negative.bins, forward.bins);
    for (const double v : values) backward.add(-v);
    EXPECT_EQ(backward.bins, BinnedSum{}.bins);
  }
  BinnedSum borrows;  // through every limb, and back
  borrows.add(std::ldexp(-1.0, BinnedSum::kLowestExponent));
  EXPECT_EQ(borrows.bins.back(), -1);
  EXPECT_EQ(borrows.value(), std::ldexp(-1.0, BinnedSum::kLowestExponent));
  borrows.add(uint64_t{1}, BinnedSum::kLowestExponent);
  EXPECT_EQ(borrows.bins, BinnedSum{}.bins);
}

TEST(BinnedSum, WhatDoesNotFitIsRefused) {
  BinnedSum sum;
  EXPECT_THROW(sum.add(uint64_t{1}, -321), ContractError);
  EXPECT_THROW(sum.add(uint64_t{1}, 319), ContractError);
  EXPECT_THROW(sum.add(std::numeric_limits<double>::infinity()), ContractError);
  EXPECT_THROW(sum.add(std::numeric_limits<double>::quiet_NaN()), ContractError);
  EXPECT_EQ(sum.value(), 0);
}

}  // namespace
}  // namespace strata
