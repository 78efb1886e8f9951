// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/check.h"
#include "core/ops/reduce.h"

namespace strata {
namespace {

constexpr int kLimb = 32;
constexpr uint64_t kLimbMask = 0xFFFFFFFFu;

}  // namespace

void BinnedSum::carry() {
  for (int i = 0; i + 1 < kBins; ++i) {
    bins[i + 1] += bins[i] >> kLimb;  // arithmetic shift: floor, so that what stays is not negative
    bins[i] &= static_cast<int64_t>(kLimbMask);
  }
}

void BinnedSum::add(const BinnedSum& other) {
  for (int i = 0; i < kBins; ++i) bins[i] += other.bins[i];
  non_finite += other.non_finite;
  carry();
}

void BinnedSum::add(uint64_t integer, int exponent) { add(integer, exponent, false); }

void BinnedSum::add(uint64_t integer, int exponent, bool negative) {
  if (integer == 0) return;
  // Drop trailing zeros, so that only bits that matter must lie in the range.
  const int zeros = std::countr_zero(integer);
  integer >>= zeros;
  const int position = exponent + zeros - kLowestExponent;
  check(position >= 0 && position + std::bit_width(integer) < kBins * kLimb,
        "[binned_sum] {} * 2^{} is outside the range of the sum", integer, exponent + zeros);
  const int bin = position / kLimb, shift = position % kLimb;
  // Three limbs of integer << shift, each added or taken away with its carry at once: bins stay canonical.
  const uint64_t low = (integer << shift) & kLimbMask;
  const uint64_t rest = shift == 0 ? integer >> kLimb : integer >> (kLimb - shift);
  const uint64_t limbs[3] = {low, rest & kLimbMask, rest >> kLimb};
  int64_t carry_in = 0;  // -1, 0 or 1
  for (int i = bin; i < kBins && (i < bin + 3 || carry_in != 0); ++i) {
    const auto limb = static_cast<int64_t>(i < bin + 3 ? limbs[i - bin] : 0);
    const int64_t total = bins[i] + (negative ? -limb : limb) + carry_in;
    const bool highest = i + 1 == kBins;
    bins[i] = highest ? total : total & static_cast<int64_t>(kLimbMask);
    carry_in = highest ? 0 : total >> kLimb;  // arithmetic shift, as in carry()
  }
}

void BinnedSum::add(double x) {
  check(std::isfinite(x), "[binned_sum] expected a finite number, got {}", x);
  const auto bits = std::bit_cast<uint64_t>(x);
  const uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
  const int exponent = static_cast<int>(bits >> 52 & 0x7FF);
  add(exponent == 0 ? fraction : fraction | uint64_t{1} << 52, std::max(exponent, 1) - 1075, std::signbit(x));
}

double BinnedSum::value() const {
  BinnedSum sum = *this;
  sum.carry();
  const bool negative = sum.bins[kBins - 1] < 0;
  if (negative) {
    for (int64_t& bin : sum.bins) bin = -bin;
    sum.carry();
  }
  int top = kBins - 1;
  while (top > 0 && sum.bins[top] == 0) --top;
  // The 64 leading bits, the last of them set when anything below is: rounding them to 53 rounds the whole
  // sum once.
  uint64_t head = static_cast<uint64_t>(sum.bins[top]);
  if (head == 0) return 0;
  int exponent = kLowestExponent + kLimb * top;
  bool below = false;
  for (int i = top - 1; i >= 0; --i) {
    const auto limb = static_cast<uint64_t>(sum.bins[i]);
    const int room = std::countl_zero(head);
    if (room >= kLimb) {
      head = head << kLimb | limb;
      exponent -= kLimb;
    } else if (room > 0 && exponent == kLowestExponent + kLimb * (i + 1)) {
      head = head << room | limb >> (kLimb - room);
      exponent -= room;
      below |= (limb & ((uint64_t{1} << (kLimb - room)) - 1)) != 0;
    } else {
      below |= limb != 0;
    }
  }
  // With 64 bits used there are 11 beyond the double's 53: the last can stand for all that is below.
  if (below) head |= 1;
  const double magnitude = std::ldexp(static_cast<double>(head), exponent);
  return negative ? -magnitude : magnitude;
}

}  // namespace strata
