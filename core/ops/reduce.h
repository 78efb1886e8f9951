// SPDX-License-Identifier: Apache-2.0
// Sums. Column sums give bias gradients; the binned sum of squares gives a gradient norm that is the same to
// the last bit however the elements are ordered, split over ranks or threads.
#pragma once

#include <array>
#include <cstdint>

#include "core/device/stream.h"
#include "core/ops/write.h"
#include "core/tensor/tensor.h"

namespace strata {

// out[j] (op)= sum over rows of x[i, j], in f32, in a fixed order.
struct ColumnSum {
  Tensor x;    // [rows, columns], f32 or bf16, unit stride in dim 1
  Tensor out;  // f32 [columns]
  Write write = Write::accumulate;
};
void column_sum(Stream& stream, const ColumnSum& args);

// An exact, order-independent accumulator: a fixed-point number of 640 bits in limbs of 32, so that adding is
// associative (in place of the rounding bins of Demmel and Nguyen, "Parallel reproducible summation", 2015:
// every square of a float fits whole). Bin i counts units of 2^(32 i - 320). Adding two of them bin by bin
// adds the sets, also as the integer sum of an all-reduce (fewer than 2^31 ranks); zero-initialised is the
// empty set. The highest bin holds the sign, as in two's complement.
struct BinnedSum {
  static constexpr int kBins = 20;
  static constexpr int kLowestExponent = -320;
  std::array<int64_t, kBins> bins{};
  int64_t non_finite = 0;  // elements that were NaN or Inf, left out of the bins

  void add(const BinnedSum& other);
  // Adds integer * 2^exponent; its bits must lie in [2^-320, 2^319).
  void add(uint64_t integer, int exponent);
  // Adds a finite x, of either sign, whose bits lie in that range.
  void add(double x);
  // The exact sum rounded once, to nearest even: depends on the sum alone, not on how it was made.
  double value() const;

 private:
  void add(uint64_t integer, int exponent, bool negative);
  void carry();  // brings every bin but the highest into [0, 2^32): one form per sum
};

// sum += the squares of x's elements, exactly but for each square being cut to 31 bits first (relative
// 2^-30); the square of a bf16 has 16 and is exact. x f32 or bf16, contiguous. `sum` must live until the work
// is done.
void sum_of_squares(Stream& stream, const Tensor& x, BinnedSum* sum);

}  // namespace strata
