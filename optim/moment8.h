// SPDX-License-Identifier: Apache-2.0
// Moments in 8 bits: codes of elements, and one byte of kMomentBlock elements that says which power of two
// their largest one reaches. Elements of a block may be very unlike each other, so a code is a small
// floating-point number below that power: the relative error is the same for all of them.
//
//   moment 1: sign, 4 bits of exponent, 3 of mantissa; 16 binades. Code 0 is 0, code 0x80 is NaN.
//   moment 2: no sign, 5 bits of exponent, 3 of mantissa; 32 binades. Code 0 is 0, code 0xFF is NaN.
//
// Codes are rounded stochastically (Gupta et al., ICML 2015): the mean of what is kept is the moment itself,
// so a moment falls and rises at its own rate however close to 1 its decay is, where rounding to nearest
// would hold it. A first moment below the smallest code is that code or 0, with the right mean; a second
// moment above 0 never becomes 0, since a step divides by its root. Everything that can be kept is a bf16
// number too, and a block that is decoded and encoded again keeps its numbers, whichever exponent it then
// has.
#pragma once

#include <bit>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/base/philox.h"

namespace strata {

inline constexpr int kMomentBlock = 128;

namespace moment8 {

inline constexpr int kDropped = 20;  // of f32's bits of mantissa; three are left
inline constexpr uint32_t kInfinity = 0x7F800000u;
inline constexpr uint32_t kNearest = 0x8000u;  // in place of 16 random bits: rounds to nearest

// What a block's top exponent is made of: the largest of these over its elements. Not finite ones do not
// count.
[[gnu::always_inline]] STRATA_HD inline uint32_t finite_magnitude(float x) {
  const uint32_t magnitude = std::bit_cast<uint32_t>(x) & 0x7FFFFFFFu;
  return magnitude & -static_cast<uint32_t>(magnitude < kInfinity);
}

// The bits of 16 and 32 binades below `top`, an f32 exponent with its bias.
[[gnu::always_inline]] STRATA_HD inline int32_t base1(int32_t top) { return (top - 15) * (1 << 23); }
[[gnu::always_inline]] STRATA_HD inline int32_t base2(int32_t top) { return (top - 31) * (1 << 23); }

// Of the largest magnitude: the lowest exponent whose largest code is not below it. All codes are normal
// numbers.
[[gnu::always_inline]] STRATA_HD inline uint8_t top1(uint32_t largest) {
  const auto top = static_cast<int32_t>((largest + 0xFFFFFu) >> 23);
  return static_cast<uint8_t>(top < 16 ? 16 : top > 254 ? 254 : top);
}
[[gnu::always_inline]] STRATA_HD inline uint8_t top2(uint32_t largest) {
  const auto top = static_cast<int32_t>((largest + 0x1FFFFFu) >> 23);
  return static_cast<uint8_t>(top < 32 ? 32 : top > 254 ? 254 : top);
}

[[gnu::always_inline]] STRATA_HD inline float decode1(uint8_t code, uint8_t top) {
  const int32_t magnitude = code & 0x7F;
  const int32_t bits = (base1(top) + (magnitude << kDropped)) | (code & 0x80) << 24;
  return std::bit_cast<float>(magnitude != 0 ? bits : code != 0 ? 0x7FC00000 : 0);
}
[[gnu::always_inline]] STRATA_HD inline float decode2(uint8_t code, uint8_t top) {
  const int32_t bits = base2(top) + (int32_t{code} << kDropped);
  return std::bit_cast<float>(code == 0 ? 0 : code == 0xFF ? 0x7FC00000 : bits);
}

// One or the other without a branch, so that loops of this become vectors.
[[gnu::always_inline]] STRATA_HD inline int32_t choose(bool which, int32_t yes, int32_t no) {
  const int32_t mask = -static_cast<int32_t>(which);
  return (yes & mask) | (no & ~mask);
}

// `random` is uniform in [0, 2^16).
[[gnu::always_inline]] STRATA_HD inline uint8_t encode1(float x, uint8_t top, uint32_t random) {
  const auto bits = std::bit_cast<int32_t>(x), magnitude = bits & 0x7FFFFFFF;
  const int32_t above = magnitude - base1(top);
  const int32_t rounded = (above + static_cast<int32_t>(random << 4 | 8u)) >> kDropped;
  // Under the smallest code: that one or 0. (Positive numbers compare as their bits do.)
  const auto least = std::bit_cast<float>(base1(top) + (1 << kDropped));
  const float share = std::bit_cast<float>(magnitude) * 65536.0f;
  const float wanted = least * (static_cast<float>(static_cast<int32_t>(random)) + 0.5f);
  const int32_t below = std::bit_cast<int32_t>(share) > std::bit_cast<int32_t>(wanted);
  const int32_t finite = choose(above < 1 << kDropped, below, choose(rounded < 127, rounded, 127));
  const int32_t signed_code = finite | choose(finite != 0, bits >> 24 & 0x80, 0);
  return static_cast<uint8_t>(choose(magnitude < static_cast<int32_t>(kInfinity), signed_code, 0x80));
}
[[gnu::always_inline]] STRATA_HD inline uint8_t encode2(float x, uint8_t top, uint32_t random) {
  const int32_t magnitude = std::bit_cast<int32_t>(x) & 0x7FFFFFFF;
  const int32_t above = magnitude - base2(top);
  const int32_t rounded = (above + static_cast<int32_t>(random << 4 | 8u)) >> kDropped;
  const int32_t below = magnitude != 0;
  const int32_t finite = choose(above < 1 << kDropped, below, choose(rounded < 254, rounded, 254));
  return static_cast<uint8_t>(choose(magnitude < static_cast<int32_t>(kInfinity), finite, 0xFF));
}

// 16 bits for each of what is rounded of an element, out of its 32. Each is uniform by itself.
[[gnu::always_inline]] STRATA_HD inline uint32_t weight_bits(uint32_t random) { return random & 0xFFFFu; }
[[gnu::always_inline]] STRATA_HD inline uint32_t bits1(uint32_t random) { return random >> 16; }
[[gnu::always_inline]] STRATA_HD inline uint32_t bits2(uint32_t random) { return random * 0x9E3779B1u >> 16; }

// The element of a block that gets word w of Philox block g (of the kMomentBlock / 4 that serve it):
// neighbours get the same word of neighbouring blocks, as vectors and warps want it.
inline constexpr int kGroups = kMomentBlock / 4;
STRATA_HD constexpr int element_of(int group, int word) { return group + kGroups * word; }

}  // namespace moment8

// Pointers to a span's moments: it begins at a whole block.
struct Moments8 {
  uint8_t* code1;
  uint8_t* top1;  // by block
  uint8_t* code2;
  uint8_t* top2;
};

}  // namespace strata
