// SPDX-License-Identifier: Apache-2.0
// exp, log, square root and the circle for sixteen lanes of float. Polynomials of the Cephes library (S.
// Moshier, "Methods and Programs for Mathematical Functions", 1989), within 2 ulp; the same bits on every
// instruction set, which libm does not promise. For kernel files only.
#pragma once

#include "core/ops/cpu/vec.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {

// e^x. Results below 2^-125 are 0, above 2^127.5 infinity; NaN stays NaN.
STRATA_ALWAYS_INLINE Vec exp(const Vec& x) {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the sum.
  const Vec magic = broadcast(12582912.0f);
  const Vec shifted = x * broadcast(1.44269504088896341f) + magic;
  const Vec n = shifted - magic;
  // ln 2 in two parts, the first short enough for n times it to be exact.
  const Vec r = (x - n * broadcast(0.693359375f)) - n * broadcast(-2.12194440e-4f);
  Vec p = broadcast(1.9875691500e-4f);
  p = p * r + broadcast(1.3981999507e-3f);
  p = p * r + broadcast(8.3334519073e-3f);
  p = p * r + broadcast(4.1665795894e-2f);
  p = p * r + broadcast(1.6666665459e-1f);
  p = p * r + broadcast(5.0000001201e-1f);
  const Vec y = (p * (r * r) + r) + broadcast(1.0f);
  const Vec scaled = bits_as<NativeF>(bits_as<NativeU>(y) + (bits_as<NativeU>(shifted) << 23));
  const Vec low = select(x < broadcast(-86.9f), zero(), scaled);
  const Vec high = select(x > broadcast(88.37f), broadcast(__builtin_inff()), low);
  return select(x == x, high, x);
}

// Natural logarithm. log(0) = -inf, of a negative number NaN.
STRATA_ALWAYS_INLINE Vec log(const Vec& x) {
  const MaskVec small = x < broadcast(1.17549435e-38f);  // denormals: times 2^23
  const Vec normal = select(small, x * broadcast(8388608.0f), x);
  const UintVec bits = bits_as<NativeU>(normal);
  IntVec exponent = bits_as<NativeI>(bits >> 23) - broadcast_int(126);
  exponent = exponent - (small & broadcast_int(23));
  Vec m = bits_as<NativeF>((bits & broadcast_uint(0x007FFFFFu)) | broadcast_uint(0x3F000000u));  // [0.5, 1)
  const MaskVec below = m < broadcast(0.707106781186547524f);
  const Vec e = to_float(exponent + below);  // a true mask lane is -1
  m = select(below, m + m, m) - broadcast(1.0f);
  const Vec z = m * m;
  Vec p = broadcast(7.0376836292e-2f);
  p = p * m + broadcast(-1.1514610310e-1f);
  p = p * m + broadcast(1.1676998740e-1f);
  p = p * m + broadcast(-1.2420140846e-1f);
  p = p * m + broadcast(1.4249322787e-1f);
  p = p * m + broadcast(-1.6668057665e-1f);
  p = p * m + broadcast(2.0000714765e-1f);
  p = p * m + broadcast(-2.4999993993e-1f);
  p = p * m + broadcast(3.3333331174e-1f);
  Vec y = p * m * z;
  y = y + e * broadcast(-2.12194440e-4f);
  y = y - broadcast(0.5f) * z;
  Vec result = (m + y) + e * broadcast(0.693359375f);
  result = select(x == broadcast(__builtin_inff()), x, result);
  result = select(x == zero(), broadcast(-__builtin_inff()), result);
  return select(x >= zero(), result, broadcast(__builtin_nanf("")));
}

// Square root, exactly rounded.
STRATA_ALWAYS_INLINE Vec sqrt(const Vec& x) {
  alignas(64) float t[kLanes];
  store(t, x);
  for (int i = 0; i < kLanes; ++i) t[i] = __builtin_sqrtf(t[i]);
  return load(t);
}

// cos and sin of 2 pi u for u in [0, 1].
struct Circle {
  Vec cos, sin;
};
STRATA_ALWAYS_INLINE Circle circle(const Vec& u) {
  // Nearest quarter turn, exactly; what is left is in [-1/8, 1/8] of a turn.
  const Vec magic = broadcast(12582912.0f);
  const Vec shifted = u * broadcast(4.0f) + magic;
  const IntVec quarter = bits_as<NativeI>(shifted) & broadcast_int(3);
  const Vec a = (u - (shifted - magic) * broadcast(0.25f)) * broadcast(6.28318530717958648f);
  const Vec z = a * a;
  Vec s = broadcast(-1.9515295891e-4f);
  s = s * z + broadcast(8.3321608736e-3f);
  s = s * z + broadcast(-1.6666654611e-1f);
  s = s * z * a + a;
  Vec c = broadcast(2.443315711809948e-5f);
  c = c * z + broadcast(-1.388731625493765e-3f);
  c = c * z + broadcast(4.166664568298827e-2f);
  c = c * (z * z) - broadcast(0.5f) * z + broadcast(1.0f);
  // (cos, sin) turned by quarter * 90 degrees: swap on odd quarters, then signs.
  const MaskVec odd = (quarter & broadcast_int(1)) == broadcast_int(1);
  const UintVec sin_sign = bits_as<NativeU>(quarter & broadcast_int(2)) << 30;
  const UintVec cos_sign = bits_as<NativeU>((quarter + broadcast_int(1)) & broadcast_int(2)) << 30;
  return {bits_as<NativeF>(bits_as<NativeU>(select(odd, s, c)) ^ cos_sign),
          bits_as<NativeF>(bits_as<NativeU>(select(odd, c, s)) ^ sin_sign)};
}

// 1 / (1 + e^-x)
STRATA_ALWAYS_INLINE Vec sigmoid(const Vec& x) {
  return broadcast(1.0f) / (broadcast(1.0f) + exp(zero() - x));
}

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
