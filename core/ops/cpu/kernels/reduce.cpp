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

STRATA_ALWAYS_INLINE int64_t bits_of(double x) { return __builtin_bit_cast(int64_t, x); }
STRATA_ALWAYS_INLINE int32_t magnitude_of(float x) { return __builtin_bit_cast(int32_t, x) & 0x7FFFFFFF; }

typedef double Doubles __attribute__((vector_size(kNativeBytes)));
typedef int64_t Integers __attribute__((vector_size(kNativeBytes)));
typedef uint64_t Sums __attribute__((vector_size(kNativeBytes)));
typedef float Floats __attribute__((vector_size(kNativeBytes / 2)));
constexpr int kDoubles = kNativeBytes / 8;  // in a register

// Doubles that are integers in [0, 2^kBits), as those integers. Adding 2^52 puts them into the low bits of a
// double.
template <int kBytes>
struct ToInteger {
  static constexpr int kBits = 52;
  STRATA_ALWAYS_INLINE static Integers of(const Doubles& x) {
    return Integers(x + 4503599627370496.0) & ((int64_t{1} << kBits) - 1);
  }
};
// AVX-512 converts eight at once. More bits would let the sixteen sums of a block pass 2^64.
template <>
struct ToInteger<64> {
  static constexpr int kBits = 58;
  STRATA_ALWAYS_INLINE static Integers of(const Doubles& x) { return __builtin_convertvector(x, Integers); }
};
using Exact = ToInteger<kNativeBytes>;
// A square of 2^30 or more is an integer once cut to 31 bits; one of an element with 2^-kReach or more of the
// largest element's power of two is such, when the largest square is scaled to just below 2^kBits.
constexpr int32_t kReach = (Exact::kBits - 32) / 2;

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

// The largest magnitude and the smallest that is not zero, as integers: they order like the numbers. What is
// subtracted turns a zero into the largest unsigned number.
struct Extent {
  int32_t highest;
  uint32_t lowest_less_1;
};
template <typename T>
Extent extent_of(const T* x, int64_t count) {
  const IntVec magnitude_mask = broadcast_int(0x7FFFFFFF), none = broadcast_int(0);
  const UintVec one = broadcast_uint(1);
  constexpr int kChains = 4;  // because one would wait for itself
  IntVec highest[kChains] = {none, none, none, none};
  const UintVec most = broadcast_uint(0xFFFFFFFFu);
  UintVec lowest[kChains] = {most, most, most, most};
  const auto look = [&](int64_t i, int chain, auto lanes) __attribute__((always_inline)) {
    const IntVec m = bits_as<NativeI>(load(x + i, lanes)) & magnitude_mask;
    const UintVec less = bits_as<NativeU>(m) - one;
    highest[chain] = select(m > highest[chain], m, highest[chain]);
    lowest[chain] = select(less < lowest[chain], less, lowest[chain]);
  };
  int64_t i = 0;
  for (; i + kChains * kLanes <= count; i += kChains * kLanes)
    for (int chain = 0; chain < kChains; ++chain) look(i + chain * kLanes, chain, Full{});
  for_lanes(
      count - i, [&](int64_t j, auto lanes) __attribute__((always_inline)) { look(i + j, 0, lanes); });
  alignas(64) int32_t high[kChains * kLanes];
  alignas(64) uint32_t low[kChains * kLanes];
  __builtin_memcpy(high, highest, sizeof(high));
  __builtin_memcpy(low, lowest, sizeof(low));
  Extent extent{0, 0xFFFFFFFFu};
  for (int lane = 0; lane < kChains * kLanes; ++lane) {
    extent.highest = high[lane] > extent.highest ? high[lane] : extent.highest;
    extent.lowest_less_1 = low[lane] < extent.lowest_less_1 ? low[lane] : extent.lowest_less_1;
  }
  return extent;
}

// totals[i % 16] = the sum of cut squares of x[i] * scale. Fetches the next block meanwhile.
template <typename T>
STRATA_ALWAYS_INLINE void add_squares(const T* x, int64_t count, float scale, uint64_t* totals) {
  const Vec scales = broadcast(scale);
  constexpr int kSums = kLanes / kDoubles;
  Sums sums[kSums] = {};  // up to 2^64
  for (int64_t begin = 0; begin < count; begin += kLanes) {
    __builtin_prefetch(reinterpret_cast<const char*>(x + begin) + kSquareBlock * sizeof(T));
    const Vec scaled = load(x + begin) * scales;  // exact: by a power of two, far from the ends of the range
    Floats halves[kSums];
    __builtin_memcpy(halves, &scaled, sizeof(halves));
#pragma GCC unroll 8
    for (int i = 0; i < kSums; ++i) {
      Doubles d;  // a loop, because GCC 12 makes two conversions of __builtin_convertvector to 64 bytes
      for (int j = 0; j < kDoubles; ++j) d[j] = halves[i][j];
      sums[i] += Sums(Exact::of(Doubles(Integers(d * d) & kCut)));
    }
  }
  __builtin_memcpy(totals, sums, sizeof(sums));
}

// Scaled by a power of two so that the largest square of the block is just below 2^kBits, the other squares
// are integers too and add exactly. Elements too small for that are rare; they go one by one, as do all of a
// block whose scale a float does not hold. Which way an element takes changes no bit of the sum.
template <typename T>
void square_block_of(const T* x, int64_t count, SquareBlock* block) {
  block->low = block->high = 0;
  block->exponent = 0;
  block->num_rare = 0;
  block->non_finite = 0;
  const Extent extent = extent_of(x, count);
  if (extent.highest == 0) return;
  const int32_t top = extent.highest >> 23;
  const int32_t k = Exact::kBits / 2 - 1 - (top - 127);
  // Non-finite or nearly denormal: not worth being fast.
  const bool plain = top < 255 && top > kReach && k <= 127;
  const int32_t low = plain ? (top - kReach) << 23 : 0x7FFFFFFF;
  const bool clean = plain && extent.lowest_less_1 >= static_cast<uint32_t>(low) - 1;
  const float scale = plain ? __builtin_bit_cast(float, (127 + k) << 23) : 0.0f;
  block->exponent = -2 * k;

  alignas(64) uint64_t totals[kLanes] = {};
  if (clean && count % kLanes == 0) {
    add_squares(x, count, scale, totals);
  } else {
    alignas(64) float kept[kSquareBlock];
    for_lanes(
        count, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
          const Vec values = load(x + i, lanes);  // lanes that are not there are zero
          const IntVec m = bits_as<NativeI>(values) & broadcast_int(0x7FFFFFFF);
          const MaskVec rare = (m < broadcast_int(low)) & (m > broadcast_int(0));
          store(kept + i, select(rare, zero(), values));
          if (!plain || any(rare)) {
            alignas(64) float each[kLanes];
            store(each, values);
            for (int lane = 0; lane < kLanes; ++lane)
              if (!plain || magnitude_of(each[lane]) < low) add_single(each[lane], block);
          }
        });
    if (!plain) return;
    add_squares(kept, (count + kLanes - 1) / kLanes * kLanes, scale, totals);
  }
  for (const uint64_t total : totals) {
    block->low += total & 0xFFFFFFFFu;
    block->high += total >> 32;
  }
}

void square_block(MatrixRef x, int64_t count, SquareBlock* block) {
  with_type(x.dtype, [&]<typename T>(Type<T>) { square_block_of(x.row<T>(0), count, block); });
}

}  // namespace

const ReduceKernels reduce_kernels{
    .column_sum = column_sum, .combine = combine, .add_rows = add_rows, .square_block = square_block};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
