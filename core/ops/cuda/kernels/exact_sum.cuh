// SPDX-License-Identifier: Apache-2.0
// Exact sums in the limbs of a BinnedSum (core/ops/reduce.h), made by many threads: integers only, so that
// the sum does not depend on their order. A thread keeps four neighbouring limbs in registers and adds them
// to its block's in shared memory when it ends, a block to the device's in scratch, and one last kernel to
// the BinnedSum that the host reads.
#pragma once

#include "core/device/cuda/kernel.cuh"
#include "core/ops/reduce.h"

namespace strata::cuda {

using Limb = unsigned long long;  // two's complement of what BinnedSum holds as int64_t

// The bins, then the count of what was not finite.
inline constexpr int kExactWords = BinnedSum::kBins + 1;

// integer * 2^exponent, integer below 2^32, whose bits lie in the range of a BinnedSum: 2^exponent is bit
// `position` of it.
struct ExactTerm {
  uint32_t integer = 0;
  int position = 0;
};

// x^2, cut to its 31 leading bits; x finite and not zero.
__device__ inline ExactTerm square_term(float x) {
  const uint32_t bits = __float_as_uint(x) & 0x7FFFFFFFu;
  int exponent = static_cast<int>(bits >> 23);
  uint32_t fraction = bits & 0x7FFFFFu;
  if (exponent == 0) {  // denormal: as a fraction with its leading bit in place
    const int shift = __clz(static_cast<int>(fraction)) - 8;
    fraction <<= shift;
    exponent = 1 - shift;
  } else {
    fraction |= 0x800000u;
  }
  const uint64_t square = uint64_t{fraction} * fraction;  // in [2^46, 2^48)
  const int drop = square >> 47 ? 17 : 16;
  const int position = 2 * (exponent - 150) + drop - BinnedSum::kLowestExponent;
  const auto leading = static_cast<uint32_t>(square >> drop);
  // A denormal's square ends in zeros, which may lie below the range.
  return position >= 0 ? ExactTerm{leading, position} : ExactTerm{leading >> -position, 0};
}

class ExactThread {
 public:
  // `words`: kExactWords of the block, zeroed before.
  __device__ explicit ExactThread(Limb* words) : words_(words) {}

  __device__ void add(const ExactTerm& term) {
    if (term.integer == 0) return;
    const int bin = term.position >> 5;
    const uint64_t shifted = uint64_t{term.integer} << (term.position & 31);
    const uint64_t low = shifted & 0xFFFFFFFFu, high = shifted >> 32;
    if (first_ < 0) first_ = bin > 0 ? bin - 1 : 0;
    const int at = bin - first_;
    if (at < 0 || at > kHeld - 2) {  // far from the others: rare
      atomicAdd(words_ + bin, Limb{low});
      if (high != 0) atomicAdd(words_ + bin + 1, Limb{high});
      return;
    }
#pragma unroll
    for (int i = 0; i < kHeld; ++i) held_[i] += i == at ? low : i == at + 1 ? high : 0;
  }
  __device__ void add_not_finite() { ++not_finite_; }

  // Fewer than 2^31 terms may come before. All that was added is in the block's words after the next barrier.
  __device__ void flush() {
    for (int i = 0; i < kHeld; ++i)
      if (held_[i] != 0) atomicAdd(words_ + first_ + i, Limb{held_[i]});
    if (not_finite_ != 0) atomicAdd(words_ + BinnedSum::kBins, Limb{not_finite_});
  }

 private:
  static constexpr int kHeld = 4;
  Limb* words_;
  uint64_t held_[kHeld] = {};
  int first_ = -1;
  uint32_t not_finite_ = 0;
};

// Adds words, of which the bins may hold more than a limb, to a sum and brings it into its one form. One
// thread.
__device__ inline void add_words(const Limb* words, BinnedSum* sum) {
  int64_t carry = 0;
  for (int i = 0; i < BinnedSum::kBins; ++i) {
    const int64_t total = sum->bins[static_cast<size_t>(i)] + static_cast<int64_t>(words[i]) + carry;
    const bool highest = i + 1 == BinnedSum::kBins;
    sum->bins[static_cast<size_t>(i)] = highest ? total : total & 0xFFFFFFFFll;
    carry = highest ? 0 : total >> 32;  // arithmetic shift: floor
  }
  sum->non_finite += static_cast<int64_t>(words[BinnedSum::kBins]);
}

}  // namespace strata::cuda
