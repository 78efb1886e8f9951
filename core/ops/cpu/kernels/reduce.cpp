// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cpu/kernels/reduce_kernels.h"

#include "core/ops/cpu/vec.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

void column_sum(MatrixRef x, Range rows, int64_t columns, float* out) {
  with_type(x.dtype, [&]<typename T>(Type<T>) {
    for_lanes(columns, [&](int64_t c, auto lanes) { store(out + c, zero(), lanes); });
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const T* row = x.row<T>(r);
      for_lanes(columns, [&](int64_t c, auto lanes) {
        store(out + c, load(out + c, lanes) + load(row + c, lanes), lanes);
      });
    }
  });
}

void combine(const float* partials, int64_t parts, int64_t stride, Range columns, float* out,
             bool accumulate) {
  for_lanes(columns.end - columns.begin, [&](int64_t i, auto lanes) {
    const int64_t c = columns.begin + i;
    Vec total = zero();
    for (int64_t part = 0; part < parts; ++part) total += load(partials + part * stride + c, lanes);
    if (accumulate) total = load(out + c, lanes) + total;
    store(out + c, total, lanes);
  });
}

void add_rows(MatrixRef x, const int32_t* rows, int64_t count, Range columns, float* out) {
  with_type(x.dtype, [&]<typename T>(Type<T>) {
    for_lanes(columns.end - columns.begin, [&](int64_t i, auto lanes) {
      const int64_t c = columns.begin + i;
      Vec total = load(out + c, lanes);
      for (int64_t r = 0; r < count; ++r) total += load(x.row<T>(rows[r]) + c, lanes);
      store(out + c, total, lanes);
    });
  });
}

// ---- exact squares
// ------------------------------------------------------------------------------------------------

constexpr int64_t kDropBits = 22;  // of a double's 53: 31 stay
constexpr int64_t kCut = -(int64_t{1} << kDropBits);
constexpr int kGroup = 64;                     // elements between two looks for rare ones
constexpr double kMagic = 4503599627370496.0;  // 2^52

STRATA_ALWAYS_INLINE int64_t round_up_to_group(int64_t count) {
  return (count + kGroup - 1) / kGroup * kGroup;
}
STRATA_ALWAYS_INLINE int64_t bits_of(double x) { return __builtin_bit_cast(int64_t, x); }
STRATA_ALWAYS_INLINE int32_t magnitude_of(float x) { return __builtin_bit_cast(int32_t, x) & 0x7FFFFFFF; }

// One element by itself: its square is exact in double (48 bits), then cut.
void add_single(float x, SquareBlock* block) {
  if (magnitude_of(x) == 0) return;
  if (magnitude_of(x) >= 0x7F800000) {
    ++block->non_finite;
    return;
  }
  const double square = static_cast<double>(x) * static_cast<double>(x);
  block->rare[block->num_rare++] = __builtin_bit_cast(double, bits_of(square) & kCut);
}

// Sixteen sums of integers: totals[i % 16] += the cut square of x[i] * scale, and kMagic's bits four times
// (kGroup / 16).
STRATA_ALWAYS_INLINE void add_group(const float* x, double scale, uint64_t* totals) {
  for (int begin = 0; begin < kGroup; begin += kLanes)
    for (int i = 0; i < kLanes; ++i) {
      const double d = static_cast<double>(x[begin + i]) * scale;
      const double cut = __builtin_bit_cast(double, bits_of(d * d) & kCut);
      totals[i] += static_cast<uint64_t>(bits_of(cut + kMagic));
    }
}

// Scaled by a power of two so that the largest square of the block is just below 2^52, a square of at least
// 2^30 is an integer once cut to 31 bits. Adding 2^52 puts that integer into the low bits of the double,
// where integers add exactly: 1024 of them stay below 2^62. Smaller squares are rare (their elements are
// 2^-10 of the largest) and go one by one. Which way an element takes changes no bit of the sum.
template <typename T>
void square_block_of(const T* x, int64_t count, SquareBlock* block) {
  block->total = 0;
  block->exponent = 0;
  block->num_rare = 0;
  block->non_finite = 0;
  const IntVec magnitude_mask = broadcast_int(0x7FFFFFFF), none = broadcast_int(0);

  // Magnitudes as integers order like the numbers.
  const auto magnitudes = [&](int64_t i, auto lanes) __attribute__((always_inline)) {
    return bits_as<NativeI>(load(x + i, lanes)) & magnitude_mask;
  };
  const auto larger = [](const IntVec& a, const IntVec& b) __attribute__((always_inline)) {
    return select(a > b, a, b);
  };
  IntVec highest[4] = {none, none, none, none};  // four, because one would wait for itself
  int64_t i = 0;
  for (; i + kGroup <= count; i += kGroup)
    for (int h = 0; h < 4; ++h) highest[h] = larger(magnitudes(i + h * kLanes, Full{}), highest[h]);
  for_lanes(
      count - i, [&](int64_t j, auto lanes) __attribute__((always_inline)) {
        highest[0] = larger(magnitudes(i + j, lanes), highest[0]);
      });
  highest[0] = larger(larger(highest[0], highest[1]), larger(highest[2], highest[3]));
  alignas(64) int32_t lane[kLanes];
  __builtin_memcpy(lane, highest, sizeof(lane));
  int32_t top = 0;
  for (const int32_t magnitude : lane) top = magnitude > top ? magnitude : top;
  if (top == 0) return;
  const int32_t top_exponent = top >> 23;
  // Non-finite or nearly denormal: not worth being fast.
  const bool plain = top_exponent < 255 && top_exponent > 10;
  const int32_t low = plain ? (top_exponent - 10) << 23 : 0x7FFFFFFF;
  const int32_t k = plain ? 25 - (top_exponent - 127) : 0;
  block->exponent = -2 * k;
  const double scale = __builtin_bit_cast(double, int64_t{1023 + k} << 52);

  alignas(64) uint64_t totals[kLanes] = {};
  for (i = 0; i < count; i += kGroup) {
    alignas(64) float group[kGroup] = {};
    if (i + kGroup <= count)
      for (int j = 0; j < kGroup; j += kLanes) store(group + j, load(x + i + j));
    else
      for_lanes(count - i, [&](int64_t j, auto lanes) { store(group + j, load(x + i + j, lanes)); });
    MaskVec rare = none;
    for (int j = 0; j < kGroup; j += kLanes) {
      const IntVec m = bits_as<NativeI>(load(group + j)) & magnitude_mask;
      rare = rare | ((m < broadcast_int(low)) & (m > none));
    }
    if (any(rare)) [[unlikely]]
      for (float& v : group)
        if (magnitude_of(v) < low || !plain) {
          add_single(v, block);
          v = 0;
        }
    add_group(group, scale, totals);
  }
  // Modulo 2^64: the true sum of a block is below 2^62.
  for (const uint64_t total : totals) block->total += total;
  block->total -= static_cast<uint64_t>(round_up_to_group(count)) * static_cast<uint64_t>(bits_of(kMagic));
}

void square_block(MatrixRef x, int64_t count, SquareBlock* block) {
  with_type(x.dtype, [&]<typename T>(Type<T>) { square_block_of(x.row<T>(0), count, block); });
}

}  // namespace

const ReduceKernels reduce_kernels{
    .column_sum = column_sum, .combine = combine, .add_rows = add_rows, .square_block = square_block};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
