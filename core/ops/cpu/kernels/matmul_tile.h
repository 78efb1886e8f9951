// SPDX-License-Identifier: Apache-2.0
// The block of a matrix product, over a Vector type of the instruction set (each <isa>/matmul.cpp defines its
// own):
//
//   out[i, j] = sum over k of a[i, k] * b[k, j]
//
// Registers hold a tile of `rows` x `columns` sums. Each step along k loads one unit of every column of b's
// panel, and broadcasts one unit of each row of a. A tile walks all of k (or one step of it) with a's piece
// in the first-level cache and b's panel streaming from the second: per unit a 8 x 48 tile reads 224 bytes
// for 24 vector instructions, so the multiply-adds are the limit. Every output element is one chain of
// additions in the order of k, whatever the tile, block, step or thread.
#pragma once

#include "core/ops/cpu/kernels/matmul_pack.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

enum class Operand { as_it_stands, packed };

struct Tile {
  const char* a;
  int64_t a_row_bytes;
  const uint32_t* b;
  int64_t units;       // whole ones
  bool half_unit;      // of an operand as it stands: k ends in the middle of a pair
  const float* start;  // partial sums, rows of `columns`; null: zero
  float* out;
  int64_t out_stride;
  bool accumulate;
  const float* right = nullptr;  // factors of the columns, then `left` of the rows; null: none
  const float* left = nullptr;
  int64_t left_stride = 0;
  const float* before = nullptr;  // scaled sums of earlier chunks, to be added first, rows of `columns`
};

template <typename Vector, int rows, Operand operand>
void multiply_tile(const Tile& t) {
  constexpr int kVectors = Vector::kColumns / Vector::kLanes;
  typename Vector::Sum sum[rows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] =
          t.start ? Vector::load(t.start + r * Vector::kColumns + v * Vector::kLanes) : Vector::zero();

  // Lines of the output are fetched while the products run.
  for (int r = 0; r < rows; ++r)
    for (int column = 0; column < Vector::kColumns; column += 16)
      __builtin_prefetch(t.out + r * t.out_stride + column, 1);

  const char* a = t.a;
  const uint32_t* b = t.b;
  constexpr int64_t kPackedRow = 4, kPackedUnit = 4 * Vector::kRows;
  const int64_t row_bytes = operand == Operand::packed ? kPackedRow : t.a_row_bytes;
  constexpr int64_t kUnitBytes = operand == Operand::packed ? kPackedUnit : 4;
  for (int64_t u = 0; u < t.units; ++u, a += kUnitBytes, b += Vector::kColumns) {
    typename Vector::Factor right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = Vector::load_units(b + v * Vector::kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const auto left = Vector::broadcast(a + r * row_bytes);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Vector::multiply_add(left, right[v], sum[r][v]);
    }
  }
  if constexpr (operand == Operand::as_it_stands && Vector::Unit::kPerUnit == 2) {
    if (t.half_unit)
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const auto left = Vector::broadcast_half(a + r * row_bytes);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = Vector::multiply_add(left, Vector::load_units(b + v * Vector::kLanes), sum[r][v]);
      }
  }

#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* out = t.out + r * t.out_stride + v * Vector::kLanes;
      if (t.right) sum[r][v] *= Vector::load(t.right + v * Vector::kLanes) * t.left[r * t.left_stride];
      if (t.before)
        sum[r][v] =
            Vector::add(Vector::load(t.before + r * Vector::kColumns + v * Vector::kLanes), sum[r][v]);
      Vector::store(out, t.accumulate ? Vector::add(Vector::load(out), sum[r][v]) : sum[r][v]);
    }
}

// multiply_tile for 1 .. kRows rows: index [rows - 1].
template <typename Vector, Operand operand>
struct TileTable {
  using Function = void (*)(const Tile&);
  Function of[Vector::kRows];

  template <int rows = 1>
  constexpr void fill() {
    of[rows - 1] = multiply_tile<Vector, rows, operand>;
    if constexpr (rows < Vector::kRows) fill<rows + 1>();
  }
  constexpr TileTable() : of{} { fill(); }
};
template <typename Vector, Operand operand>
constexpr TileTable<Vector, operand> kTiles;

// Writes a finished row of sums with everything the product was asked to add to it.
STRATA_ALWAYS_INLINE static void finish_row(const MatmulBlock& p, float* __restrict sum, int64_t row,
                                            int64_t column, int64_t count) {
  const auto plus = [&](const void* operand, bool is_bf16, int64_t at) {
    if (is_bf16) {
      const bf16* x = static_cast<const bf16*>(operand) + at;
      for (int64_t j = 0; j < count; ++j) sum[j] += to_float(x[j]);
    } else {
      const float* x = static_cast<const float*>(operand) + at;
      for (int64_t j = 0; j < count; ++j) sum[j] += x[j];
    }
  };
  if (p.bias) plus(p.bias, p.bias_is_bf16, column);
  if (p.add) plus(p.add, p.out_is_bf16, row * p.add_stride + column);
  const int64_t at = row * p.out_stride + column;
  if (p.out_is_bf16) {
    bf16* out = static_cast<bf16*>(p.out) + at;
    for (int64_t j = 0; j < count; ++j) out[j] = to_bf16(sum[j]);
  } else {
    float* out = static_cast<float*>(p.out) + at;
    if (p.accumulate)
      for (int64_t j = 0; j < count; ++j) out[j] += sum[j];
    else
      for (int64_t j = 0; j < count; ++j) out[j] = sum[j];
  }
}

template <typename Vector>
void multiply_block(const MatmulBlock& p) {
  constexpr int kRows = Vector::kRows, kColumns = Vector::kColumns, kPerUnit = Vector::Unit::kPerUnit;
  alignas(64) float partial[kMaxPartialSums];  // one tile, or all of the block's when k is walked in steps
  const int64_t units = (p.k + kPerUnit - 1) / kPerUnit;
  const int64_t step = p.k_step / kPerUnit;
  const bool one_step = units <= step;
  const bool packed = p.a_is_packed;
  const bool plain =
      !p.out_is_bf16 && !p.bias && !p.add;  // sums may go straight from registers to the output

  int64_t unit = 0;
  do {  // once also when k is 0
    const int64_t count = units - unit < step ? units - unit : step;
    const bool last = unit + count == units;
    const bool half = !packed && last && p.k % kPerUnit != 0;
    for (int64_t row = p.row; row < p.row + p.rows; row += kRows) {
      const int64_t rows = p.row + p.rows - row < kRows ? p.row + p.rows - row : kRows;
      const char* a = static_cast<const char*>(p.a);
      a += packed ? (row / kRows * units + unit) * kRows * 4 : row * p.a_row_bytes + unit * 4;
      for (int64_t panel = 0; panel < p.panels; ++panel) {
        const int64_t column = (p.panel + panel) * kColumns;
        const int64_t columns = p.n - column < kColumns ? p.n - column : kColumns;
        float* sums = one_step ? partial : partial + ((row - p.row) * p.panels + panel * rows) * kColumns;
        const bool direct = last && plain && columns == kColumns;
        const Tile tile{.a = a,
                        .a_row_bytes = p.a_row_bytes,
                        .b = p.b + ((p.panel + panel) * units + unit) * kColumns,
                        .units = half ? count - 1 : count,
                        .half_unit = half,
                        .start = unit > 0 ? sums : nullptr,
                        .out = direct ? static_cast<float*>(p.out) + row * p.out_stride + column : sums,
                        .out_stride = direct ? p.out_stride : kColumns,
                        .accumulate = direct && p.accumulate};
        (packed ? kTiles<Vector, Operand::packed>.of
                : kTiles<Vector, Operand::as_it_stands>.of)[rows - 1](tile);
        if (last && !direct)
          for (int64_t r = 0; r < rows; ++r) finish_row(p, sums + r * kColumns, row + r, column, columns);
      }
    }
    unit += count;
  } while (unit < units);
}

// Sums of whole chunks are scaled and added to the running sums; a single chunk's are scaled once, in its
// last step.
template <typename Vector>
void multiply_scaled_block(const ScaledBlock& s) {
  constexpr int kRows = Vector::kRows, kColumns = Vector::kColumns, kPerUnit = Vector::Unit::kPerUnit;
  const MatmulBlock& p = s.block;
  alignas(64) float total[kMaxPartialSums];
  const int64_t units = (p.k + kPerUnit - 1) / kPerUnit;
  const int64_t step = p.k_step / kPerUnit;
  const bool one_step = units <= step, one_chunk = s.chunks <= 1;
  const int64_t chunk_units = one_chunk ? step : s.chunk / kPerUnit;
  const bool packed = p.a_is_packed, plain = !p.out_is_bf16 && !p.bias && !p.add;

  int64_t unit = 0;
  do {  // once also when k is 0
    const int64_t count = units - unit < step ? units - unit : step;
    const bool last = unit + count == units;
    for (int64_t row = p.row; row < p.row + p.rows; row += kRows) {
      const int64_t rows = p.row + p.rows - row < kRows ? p.row + p.rows - row : kRows;
      const char* a = static_cast<const char*>(p.a);
      a += packed ? row / kRows * units * kRows * 4 : row * p.a_row_bytes;
      for (int64_t panel = 0; panel < p.panels; ++panel) {
        const int64_t column = (p.panel + panel) * kColumns;
        const int64_t columns = p.n - column < kColumns ? p.n - column : kColumns;
        float* sums = one_step ? total : total + ((row - p.row) * p.panels + panel * rows) * kColumns;
        const bool direct = last && plain && columns == kColumns;
        int64_t at = unit;
        do {
          const int64_t length = unit + count - at < chunk_units ? unit + count - at : chunk_units;
          const bool half = !packed && at + length == units && p.k % kPerUnit != 0;
          const int64_t chunk = one_chunk ? 0 : at / chunk_units;
          const bool running = !one_chunk && at > 0, ends = last && at + length == units;
          const bool finishes = direct && ends, scales = s.chunks > 0 && (!one_chunk || ends);
          const Tile tile{.a = a + at * (packed ? kRows * 4 : 4),
                          .a_row_bytes = p.a_row_bytes,
                          .b = p.b + ((p.panel + panel) * units + at) * kColumns,
                          .units = half ? length - 1 : length,
                          .half_unit = half,
                          .start = one_chunk && unit > 0 ? sums : nullptr,
                          .out = finishes ? static_cast<float*>(p.out) + row * p.out_stride + column : sums,
                          .out_stride = finishes ? p.out_stride : kColumns,
                          .accumulate = finishes ? p.accumulate : running,
                          .right = scales ? s.b_scales + chunk * s.b_scales_stride + column : nullptr,
                          .left = s.a_scales + row * s.chunks + chunk,
                          .left_stride = s.chunks,
                          .before = finishes && running ? sums : nullptr};
          (packed ? kTiles<Vector, Operand::packed>.of
                  : kTiles<Vector, Operand::as_it_stands>.of)[rows - 1](tile);
          at += chunk_units;
        } while (at < unit + count);
        if (last && !direct)
          for (int64_t r = 0; r < rows; ++r) finish_row(p, sums + r * kColumns, row + r, column, columns);
      }
    }
    unit += count;
  } while (unit < units);
}

template <typename Vector>
int64_t probe_peak(int64_t rounds) {
  constexpr int kChains = Vector::kRows * (Vector::kColumns / Vector::kLanes);
  typename Vector::Sum sum[kChains];
#pragma GCC unroll 32
  for (int chain = 0; chain < kChains; ++chain) {
    sum[chain] = Vector::zero();
    asm volatile("" : "+v"(sum[chain]));  // unlike the others, as far as the compiler knows
  }
  uint32_t values[Vector::kLanes];
  for (uint32_t& value : values) value = 0x3C003C00u;  // small and not zero, as one float or two bf16
  auto left = Vector::load_units(values), right = left;
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(left), "+v"(right));  // new values, likewise
#pragma GCC unroll 32
    for (int chain = 0; chain < kChains; ++chain) sum[chain] = Vector::multiply_add(left, right, sum[chain]);
  }
#pragma GCC unroll 32
  for (int chain = 0; chain < kChains; ++chain)
    asm volatile("" : : "v"(sum[chain]));  // the results are wanted
  return rounds * kChains * Vector::kLanes * Vector::Unit::kPerUnit * 2;
}

template <typename Vector>
constexpr MatmulKernels kernels_of{
    .rows = Vector::kRows,
    .columns = Vector::kColumns,
    .k_per_unit = Vector::Unit::kPerUnit,
    .reads_a = Vector::Unit::kBitsAsTheyAre,
    .pack_a = pack_panels<typename Vector::Registers, typename Vector::Unit, Vector::kRows>,
    .pack_b = pack_panels<typename Vector::Registers, typename Vector::Unit, Vector::kColumns>,
    .block = multiply_block<Vector>,
    .scaled_block = multiply_scaled_block<Vector>,
    .probe = probe_peak<Vector>};

}  // namespace
}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
