// SPDX-License-Identifier: Apache-2.0
// How products of the CPU are cut: operands into panels, the output into blocks. Of matmul.cpp and
// quantized_matmul.cpp.
#pragma once

#include <algorithm>

#include "core/base/check.h"
#include "core/ops/cpu/kernels/matmul_kernels.h"
#include "core/ops/cpu/kernels/matrix_ref.h"
#include "core/ops/write.h"
#include "core/tensor/tensor.h"

namespace strata::cpu {

inline constexpr int64_t kUnitBytes = 4;

inline int64_t panel_bytes(const MatmulKernels& kernels, int lanes, int64_t k) {
  return div_up(k, kernels.k_per_unit) * lanes * kUnitBytes;
}

inline int64_t operand_bytes(const MatmulKernels& kernels, int lanes, int64_t k, int64_t extent) {
  return div_up(extent, lanes) * panel_bytes(kernels, lanes, k);
}

// One operand on its way into panels, cut into pieces of some 128 KiB for the workers.
struct Packing {
  PackPanels panels{};
  void (*pack)(const PackPanels&) = nullptr;
  int64_t num_panels = 0, panels_per_piece = 1, num_pieces = 0;

  Packing() = default;
  // `matrix` is [k, lanes].
  Packing(const MatmulKernels& kernels, void (*function)(const PackPanels&), int lanes, const Tensor& matrix,
          void* out)
      : panels{.source = matrix.raw(),
               .k_stride = matrix.stride(0),
               .lane_stride = matrix.stride(1),
               .k = matrix.dim(0),
               .lanes = matrix.dim(1),
               .units = static_cast<uint32_t*>(out),
               .first_panel = 0,
               .last_panel = 0,
               .first_unit = 0,
               .last_unit = div_up(matrix.dim(0), kernels.k_per_unit),
               .stream = false},
        pack(function),
        num_panels(div_up(matrix.dim(1), lanes)) {
    constexpr int64_t kPieceBytes = 128 << 10, kEven = 8;  // pieces of whole groups of narrow panels
    const int64_t wanted = kPieceBytes / std::max<int64_t>(1, panel_bytes(kernels, lanes, matrix.dim(0)));
    panels_per_piece = wanted >= kEven ? wanted / kEven * kEven : std::max<int64_t>(1, wanted);
    num_pieces = div_up(num_panels, panels_per_piece);
  }

  void run(int64_t piece) const {
    PackPanels part = panels;
    part.first_panel = piece * panels_per_piece;
    part.last_panel = std::min(part.first_panel + panels_per_piece, num_panels);
    pack(part);
  }
};

// How the output is cut. Within a block the tiles of a row share a's piece, which stays in the first-level
// cache (32 KiB), and the block's piece of b stays in the second (1 MiB, of which half is left to a and the
// output).
struct Blocking {
  int64_t rows, panels, k_step;
  int64_t row_blocks, panel_blocks;
};

inline Blocking choose_blocking(const MatmulKernels& kernels, int64_t m, int64_t n, int64_t k, int threads) {
  constexpr int64_t kPieceOfA = 16 << 10, kPieceOfB = 448 << 10;
  Blocking blocking{};
  const int64_t units = std::max<int64_t>(1, div_up(k, kernels.k_per_unit));
  const int64_t most_units = kPieceOfA / (kernels.rows * kUnitBytes);
  const int64_t units_per_step = div_up(units, div_up(units, most_units));
  blocking.k_step = units_per_step * kernels.k_per_unit;

  const int64_t num_panels = div_up(n, kernels.columns);
  const int64_t fitting = std::max<int64_t>(1, kPieceOfB / (units_per_step * kernels.columns * kUnitBytes));
  blocking.panel_blocks = div_up(num_panels, fitting);
  blocking.panels = div_up(num_panels, blocking.panel_blocks);

  // Blocks of 128 rows, fewer when there would not be enough of them to keep all threads busy to the end.
  int64_t rows = 128;
  while (rows > kernels.rows * 4 && div_up(m, rows) * blocking.panel_blocks < 8 * threads) rows /= 2;
  rows = std::min(rows, kMaxPartialSums / (blocking.panels * kernels.columns));
  blocking.rows = std::max<int64_t>(1, rows / kernels.rows) * kernels.rows;
  blocking.row_blocks = div_up(m, blocking.rows);
  return blocking;
}

// The output of a product (Matmul, QuantizedMatmul) as one block, its operands still to be named.
template <typename Product>
MatmulBlock whole_block(const MatmulKernels& kernels, const Product& args, int64_t k) {
  return {.a = nullptr,
          .a_is_packed = false,
          .a_row_bytes = 0,
          .b = nullptr,
          .k = k,
          .k_step = 0,
          .out = args.out.raw(),
          .out_is_bf16 = args.out.dtype() == DType::bf16,
          .accumulate = args.write == Write::accumulate,
          .out_stride = args.out.stride(0),
          .bias = args.bias ? args.bias.raw() : nullptr,
          .bias_is_bf16 = args.bias && args.bias.dtype() == DType::bf16,
          .add = args.add ? args.add.raw() : nullptr,
          .add_stride = args.add ? args.add.stride(0) : 0,
          .n = args.out.dim(1),
          .row = 0,
          .rows = args.out.dim(0),
          .panel = 0,
          .panels = div_up(args.out.dim(1), kernels.columns)};
}

// The `index`-th of a blocking's blocks. Those that share a piece of b follow one another.
inline MatmulBlock block_at(const Blocking& blocking, const MatmulBlock& whole, int64_t index) {
  MatmulBlock block = whole;
  block.k_step = blocking.k_step;
  block.row = index % blocking.row_blocks * blocking.rows;
  block.rows = std::min(blocking.rows, whole.rows - block.row);
  block.panel = index / blocking.row_blocks * blocking.panels;
  block.panels = std::min(blocking.panels, whole.panels - block.panel);
  return block;
}

}  // namespace strata::cpu
