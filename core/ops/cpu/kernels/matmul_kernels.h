// SPDX-License-Identifier: Apache-2.0
// What a matrix product needs from one instruction set, as plain data and functions. Used by cpu/matmul.cpp.
//
// Operands are cut into panels. A panel of b is `columns` columns wide, a panel of a is `rows` rows high;
// both are stored along k in units of four bytes: one float, or two consecutive bf16 (the lower k in the
// lower half):
//
//   panel p, unit u, lane l (a row of a, a column of b)  at  units[(p * num_units + u) * lanes + l]
//
// Lanes and halves beyond the matrix hold zero. Where the hardware has no bf16 product, bf16 is widened to
// float while it is packed, and a unit is one float.
#pragma once

#include <cstdint>

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/tensor/bf16.h"

namespace strata::cpu {

// One operand to be packed: element (k, lane) is at source[k * k_stride + lane * lane_stride].
struct PackPanels {
  const void* source;
  int64_t k_stride, lane_stride;    // in elements
  int64_t k, lanes;                 // extents
  uint32_t* units;                  // of panel 0
  int64_t first_panel, last_panel;  // pack [first, last)
  int64_t first_unit, last_unit;    // of each of them, likewise; first_unit is a multiple of 4
  // Write past the caches, for outputs that are large and not read soon: of pack_b only, `units` aligned to
  // 64 bytes.
  bool stream;
};

// A block of the output: rows [row, row + rows) by panels [panel, panel + panels) of b.
struct MatmulBlock {
  // a as it stands, with unit stride along k; or packed.
  const void* a;
  bool a_is_packed;
  int64_t a_row_bytes;  // as it stands
  const uint32_t* b;    // packed
  int64_t k;
  int64_t
      k_step;  // k is walked in steps of this many elements, so that a step's pieces of a and b stay in cache

  void* out;  // of row 0, column 0; likewise `bias` and `add`
  bool out_is_bf16;
  bool accumulate;  // float only
  int64_t out_stride;
  const void* bias;  // or null
  bool bias_is_bf16;
  const void* add;  // like out; or null
  int64_t add_stride;
  int64_t n;

  int64_t row, rows, panel, panels;
};

// A block whose operands have factors: out = sum over chunks of k of a_scale b_scale (sum over the chunk).
struct ScaledBlock {
  MatmulBlock block;      // k_step is a multiple of `chunk`, unless the chunk is all of k
  int64_t chunk;          // elements of k that share factors: a multiple of 4, or k
  const float* a_scales;  // of row 0: [rows, chunks]
  int64_t chunks;
  const float* b_scales;  // [chunks, lanes of whole panels]
  int64_t b_scales_stride;
};

struct MatmulKernels {
  int rows, columns;  // of the register tile: lanes of a panel of a, of b
  int k_per_unit;     // 1: float units; 2: pairs of bf16
  bool reads_a;       // `a` may be given as it stands; otherwise it must be packed
  void (*pack_a)(const PackPanels&);
  void (*pack_b)(const PackPanels&);
  void (*block)(const MatmulBlock&);
  void (*scaled_block)(const ScaledBlock&);
  // Runs `rounds` times the multiply-adds of one unit of a tile on registers alone and returns the number of
  // floating-point operations done: the speed that no product can exceed.
  int64_t (*probe)(int64_t rounds);
};

// rows * panels * columns of a block that is walked in several steps may not exceed this many elements: their
// partial sums live on the worker's stack (256 KiB).
inline constexpr int64_t kMaxPartialSums = 65536;

struct MatmulTypes {
  MatmulKernels f32, bf16;
};
STRATA_DECLARE_PER_ISA(const MatmulTypes matmul_kernels);

}  // namespace strata::cpu
