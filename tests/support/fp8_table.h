// SPDX-License-Identifier: Apache-2.0
// The values of an 8-bit float format, from the text of OCP OFP8 (section 5: exponent bias, mantissa, special
// codes), and what rounding to it must give, by looking the neighbours up. In double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/format/fp8.h"

namespace strata::reference {

class Fp8Table {
 public:
  static constexpr int kNan = -1;

  explicit Fp8Table(Fp8Format format) : e4m3_(format == Fp8Format::e4m3) {
    const int mantissa_bits = e4m3_ ? 3 : 2, bias = e4m3_ ? 7 : 15;
    for (int code = 0; code < 128; ++code) {
      const int exponent = code >> mantissa_bits, mantissa = code & ((1 << mantissa_bits) - 1);
      const double fraction = static_cast<double>(mantissa) / (1 << mantissa_bits);
      double value =
          exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
      if (e4m3_ && code == 0x7F) value = NAN;
      if (!e4m3_ && exponent == 31) value = mantissa == 0 ? INFINITY : NAN;
      values_.push_back(value);
    }
  }
  int largest_code() const { return e4m3_ ? 0x7E : 0x7B; }
  double value(int code) const { return code < 128 ? values_[at(code)] : -values_[at(code - 128)]; }
  bool is_nan(int code) const { return std::isnan(value(code)); }

  // The code of the nearest finite value; half way, that with an even code. kNan for NaN.
  int nearest(double x) const {
    if (std::isnan(x)) return kNan;
    const int sign = std::signbit(x) ? 128 : 0;
    const double magnitude = std::fabs(x);
    const auto end = values_.begin() + largest_code() + 1;
    const auto upper = std::lower_bound(values_.begin(), end, magnitude);
    if (upper == end) return sign + largest_code();
    const int high = static_cast<int>(upper - values_.begin()), low = std::max(high - 1, 0);
    const double down = magnitude - value(low), up = value(high) - magnitude;
    const bool takes_high = up < down || (up == down && high % 2 == 0);
    return sign + (takes_high ? high : low);
  }

 private:
  static size_t at(int code) { return static_cast<size_t>(code); }
  bool e4m3_;
  std::vector<double> values_;
};

}  // namespace strata::reference
