// SPDX-License-Identifier: Apache-2.0
// Sixteen lanes of float for the CPU kernels, on the vector extensions of GCC and clang. A Vec is one, two or
// four native registers, but always sixteen lanes: sums are split and combined in the same order whatever the
// instruction set, so one source gives the same bits on each of them (contraction is off, nothing approximate
// is used). For kernel files only (see kernels/isa_namespace.h).
#pragma once

#include <cstdint>
#include <cstring>

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/tensor/dtype.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {

inline constexpr int kLanes = 16;
inline constexpr int kNativeBytes = __BIGGEST_ALIGNMENT__;  // of the widest register: 16, 32 or 64
inline constexpr int kNativeLanes = kNativeBytes / 4;
inline constexpr int kParts = kLanes / kNativeLanes;

typedef float NativeF __attribute__((vector_size(kNativeBytes)));
typedef int32_t NativeI __attribute__((vector_size(kNativeBytes)));
typedef uint32_t NativeU __attribute__((vector_size(kNativeBytes)));
typedef uint16_t NativeH __attribute__((vector_size(kNativeBytes / 2)));

// Sixteen lanes of one native type. Mask lanes (MaskVec) are 0 or -1.
template <typename Native>
struct Lanes {
  Native part[kParts];
};
using Vec = Lanes<NativeF>;
using IntVec = Lanes<NativeI>;
using UintVec = Lanes<NativeU>;
using MaskVec = IntVec;

// part-by-part application of an expression over native registers.
template <typename Result, typename Function, typename... Native>
STRATA_ALWAYS_INLINE Lanes<Result> map(Function function, const Lanes<Native>&... args) {
  Lanes<Result> result;
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) result.part[p] = function(args.part[p]...);
  return result;
}

#define STRATA_VEC_OPERATOR(op)                                                     \
  template <typename N>                                                             \
  STRATA_ALWAYS_INLINE Lanes<N> operator op(const Lanes<N>& a, const Lanes<N>& b) { \
    return map<N>(                                                                  \
        [](N x, N y) __attribute__((always_inline)) { return x op y; }, a, b);      \
  }
STRATA_VEC_OPERATOR(+)
STRATA_VEC_OPERATOR(-)
STRATA_VEC_OPERATOR(*)
STRATA_VEC_OPERATOR(/)
STRATA_VEC_OPERATOR(&)
STRATA_VEC_OPERATOR(|)
STRATA_VEC_OPERATOR(^)
#undef STRATA_VEC_OPERATOR

#define STRATA_VEC_COMPARE(op)                                                          \
  template <typename N>                                                                 \
  STRATA_ALWAYS_INLINE MaskVec operator op(const Lanes<N>& a, const Lanes<N>& b) {      \
    return map<NativeI>(                                                                \
        [](N x, N y) __attribute__((always_inline)) { return NativeI(x op y); }, a, b); \
  }
STRATA_VEC_COMPARE(<)
STRATA_VEC_COMPARE(>)
STRATA_VEC_COMPARE(<=)
STRATA_VEC_COMPARE(>=)
STRATA_VEC_COMPARE(==)
STRATA_VEC_COMPARE(!=)
#undef STRATA_VEC_COMPARE

template <typename N>
STRATA_ALWAYS_INLINE Lanes<N> operator<<(const Lanes<N>& a, int bits) {
  return map<N>(
      [bits](N x) __attribute__((always_inline)) { return x << bits; }, a);
}
template <typename N>
STRATA_ALWAYS_INLINE Lanes<N> operator>>(const Lanes<N>& a, int bits) {
  return map<N>(
      [bits](N x) __attribute__((always_inline)) { return x >> bits; }, a);
}
template <typename N>
STRATA_ALWAYS_INLINE Lanes<N>& operator+=(Lanes<N>& a, const Lanes<N>& b) {
  return a = a + b;
}

template <typename N, typename Scalar>
STRATA_ALWAYS_INLINE Lanes<N> broadcast_as(Scalar value) {
  Lanes<N> result;
#pragma GCC unroll 4
  for (int p = 0; p < kParts; ++p) result.part[p] = value - N{};  // keeps -0: x - 0 == x
  return result;
}
STRATA_ALWAYS_INLINE Vec broadcast(float value) { return broadcast_as<NativeF>(value); }
STRATA_ALWAYS_INLINE IntVec broadcast_int(int32_t value) { return broadcast_as<NativeI>(value); }
STRATA_ALWAYS_INLINE UintVec broadcast_uint(uint32_t value) { return broadcast_as<NativeU>(value); }
STRATA_ALWAYS_INLINE Vec zero() { return {}; }

// The same bits under another type.
template <typename To, typename N>
STRATA_ALWAYS_INLINE Lanes<To> bits_as(const Lanes<N>& a) {
  return map<To>(
      [](N x) __attribute__((always_inline)) { return To(x); }, a);
}
STRATA_ALWAYS_INLINE Vec to_float(const IntVec& a) {
  return map<NativeF>(
      [](NativeI x) __attribute__((always_inline)) { return __builtin_convertvector(x, NativeF); }, a);
}
STRATA_ALWAYS_INLINE IntVec truncate(const Vec& a) {
  return map<NativeI>(
      [](NativeF x) __attribute__((always_inline)) { return __builtin_convertvector(x, NativeI); }, a);
}

template <typename N>
STRATA_ALWAYS_INLINE Lanes<N> select(const MaskVec& mask, const Lanes<N>& yes, const Lanes<N>& no) {
  return map<N>(
      [](NativeI m, N y, N n) __attribute__((always_inline)) { return m ? y : n; }, mask, yes, no);
}
// b where they are unordered.
STRATA_ALWAYS_INLINE Vec max(const Vec& a, const Vec& b) { return select(a > b, a, b); }
STRATA_ALWAYS_INLINE Vec min(const Vec& a, const Vec& b) { return select(a < b, a, b); }

// 0, 1, ..., 15
STRATA_ALWAYS_INLINE IntVec lane_index() {
  IntVec result;
  for (int p = 0; p < kParts; ++p)
    for (int i = 0; i < kNativeLanes; ++i) result.part[p][i] = p * kNativeLanes + i;
  return result;
}

// ---- memory
// -----------------------------------------------------------------------------------------------------

// How many lanes an access touches: all sixteen, or the first `count` (the others read as zero, are not
// written).
struct Full {
  static constexpr int count = kLanes;
};
struct Partial {
  int count;
};

template <typename N, typename Scalar>
STRATA_ALWAYS_INLINE Lanes<N> load_as(const Scalar* p) {
  Lanes<N> result;
  __builtin_memcpy(&result, p, sizeof(result));
  return result;
}
STRATA_ALWAYS_INLINE Vec load(const float* p, Full = {}) { return load_as<NativeF>(p); }
// Sixteen-bit codes in the high halves of 32-bit lanes.
template <int kBytes>
struct Widen {
  STRATA_ALWAYS_INLINE static NativeU high(const bf16* p) {
    NativeH half;
    __builtin_memcpy(&half, p, sizeof(half));
    return __builtin_convertvector(half, NativeU) << 16;
  }
};
// GCC 12 splits that conversion in two for 64 bytes; as a shuffle with zeros it is one instruction.
template <>
struct Widen<64> {
  typedef uint16_t Codes __attribute__((vector_size(32)));
  typedef uint32_t Words __attribute__((vector_size(64)));
  STRATA_ALWAYS_INLINE static Words high(const bf16* p) {
    Codes h;
    __builtin_memcpy(&h, p, sizeof(h));
    return Words(__builtin_shufflevector(h, h ^ h, 16, 0, 16, 1, 16, 2, 16, 3, 16, 4, 16, 5, 16, 6, 16, 7, 16,
                                         8, 16, 9, 16, 10, 16, 11, 16, 12, 16, 13, 16, 14, 16, 15));
  }
};
STRATA_ALWAYS_INLINE Vec load(const bf16* p, Full = {}) {
  Vec result;
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) result.part[i] = NativeF(Widen<kNativeBytes>::high(p + i * kNativeLanes));
  return result;
}
STRATA_ALWAYS_INLINE void store(float* p, const Vec& x, Full = {}) { __builtin_memcpy(p, &x, sizeof(x)); }

// The bf16 bits of each lane in its low half: round to nearest, ties to even; NaN stays NaN.
STRATA_ALWAYS_INLINE UintVec round_to_bf16(const Vec& x) {
  const UintVec bits = bits_as<NativeU>(x);
  const UintVec high = bits >> 16;
  const UintVec rounded = (bits + broadcast_uint(0x7FFFu) + (high & broadcast_uint(1u))) >> 16;
  return select(x == x, rounded, high | broadcast_uint(0x40u));
}
STRATA_ALWAYS_INLINE void store(bf16* p, const Vec& x, Full = {}) {
  const UintVec rounded = round_to_bf16(x);
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) {
    const NativeH half = __builtin_convertvector(rounded.part[i], NativeH);
    __builtin_memcpy(p + i * kNativeLanes, &half, sizeof(half));
  }
}

template <typename T>
STRATA_ALWAYS_INLINE Vec load(const T* p, Partial lanes) {
  alignas(64) T buffer[kLanes] = {};
  for (int i = 0; i < lanes.count; ++i) buffer[i] = p[i];
  return load(buffer);
}
template <typename T>
STRATA_ALWAYS_INLINE void store(T* p, const Vec& x, Partial lanes) {
  alignas(64) T buffer[kLanes];
  store(buffer, x);
  for (int i = 0; i < lanes.count; ++i) p[i] = buffer[i];
}

// body(i, lanes) for i = 0, 16, ...: Full while sixteen lanes remain, then one Partial.
template <typename Body>
STRATA_ALWAYS_INLINE void for_lanes(int64_t count, Body&& body) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, Full{});
  if (i < count) body(i, Partial{static_cast<int>(count - i)});
}

// ---- across lanes
// -----------------------------------------------------------------------------------------------

// Lanes that a Partial access does not touch become `other`.
STRATA_ALWAYS_INLINE Vec keep(const Vec& x, Full, float) { return x; }
STRATA_ALWAYS_INLINE Vec keep(const Vec& x, Partial lanes, float other) {
  return select(lane_index() < broadcast_int(lanes.count), x, broadcast(other));
}

// The sum as a balanced tree over lane distance 8, 4, 2, 1.
STRATA_ALWAYS_INLINE float sum(const Vec& x) {
  alignas(64) float t[kLanes];
  store(t, x);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) t[i] += t[i + half];
  return t[0];
}
STRATA_ALWAYS_INLINE float max_lane(const Vec& x) {
  alignas(64) float t[kLanes];
  store(t, x);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) t[i] = t[i] > t[i + half] ? t[i] : t[i + half];
  return t[0];
}
// All bits of a register, by halves.
template <int kBytes>
struct OrBits {
  typedef int64_t Whole __attribute__((vector_size(kBytes)));
  typedef int64_t Half __attribute__((vector_size(kBytes / 2)));
  STRATA_ALWAYS_INLINE static int64_t of(Whole x) {
    Half halves[2];
    __builtin_memcpy(halves, &x, sizeof(x));
    return OrBits<kBytes / 2>::of(halves[0] | halves[1]);
  }
};
template <>
struct OrBits<16> {
  typedef int64_t Whole __attribute__((vector_size(16)));
  STRATA_ALWAYS_INLINE static int64_t of(Whole x) { return x[0] | x[1]; }
};
STRATA_ALWAYS_INLINE bool any(const MaskVec& mask) {
  NativeI all = mask.part[0];
#pragma GCC unroll 4
  for (int p = 1; p < kParts; ++p) all |= mask.part[p];
  return OrBits<kNativeBytes>::of((typename OrBits<kNativeBytes>::Whole)all) != 0;
}

// ---- element types
// ----------------------------------------------------------------------------------------------

template <typename T>
struct Type {
  using Element = T;
};
// Calls body(Type<float>) or body(Type<bf16>).
template <typename Body>
STRATA_ALWAYS_INLINE void with_type(DType dtype, Body&& body) {
  if (dtype == DType::bf16)
    body(Type<bf16>{});
  else
    body(Type<float>{});
}

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
