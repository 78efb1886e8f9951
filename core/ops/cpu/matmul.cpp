// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cpu/matmul.h"

#include <algorithm>
#include <functional>

#include "core/ops/cpu/kernels/matrix_ref.h"

namespace strata::cpu {
namespace {

constexpr int64_t kUnitBytes = 4;

const MatmulKernels& kernels_for(Isa isa, DType dtype) {
  const MatmulTypes& types = matmul_types(isa);
  return dtype == DType::bf16 ? types.bf16 : types.f32;
}

int64_t panel_bytes(const MatmulKernels& kernels, int lanes, int64_t k) {
  return div_up(k, kernels.k_per_unit) * lanes * kUnitBytes;
}

int64_t operand_bytes(const MatmulKernels& kernels, int lanes, int64_t k, int64_t extent) {
  return div_up(extent, lanes) * panel_bytes(kernels, lanes, k);
}

// The working memory of a product: room for the operands that have to be packed.
struct Space {
  int64_t a_bytes = 0, b_bytes = 0;

  Space(Isa isa, const Matmul& args) {
    const Tensor& a = args.a;
    const MatmulKernels& kernels = kernels_for(isa, a.dtype());
    const bool unit_along_k = a.stride(1) == 1 || a.dim(1) <= 1;
    if (!(kernels.reads_a && unit_along_k))
      a_bytes = round_up(operand_bytes(kernels, kernels.rows, a.dim(1), a.dim(0)), kTensorAlignment);
    if (args.b)
      b_bytes = round_up(operand_bytes(kernels, kernels.columns, a.dim(1), args.b.dim(1)), kTensorAlignment);
  }
  int64_t bytes() const { return a_bytes + b_bytes; }
};

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

// The `index`-th piece of [0, count).
Range range_of(int64_t index, int64_t piece, int64_t count) {
  return {index * piece, std::min(count, (index + 1) * piece)};
}

bool goes_past_caches(const Tensor& packed) {
  constexpr int64_t kLarge = 1 << 20;
  return packed.bytes() >= kLarge && reinterpret_cast<uintptr_t>(packed.raw()) % 64 == 0;
}

// How the output is cut. Within a block the tiles of a row share a's piece, which stays in the first-level
// cache (32 KiB), and the block's piece of b stays in the second (1 MiB, of which half is left to a and the
// output).
struct Blocking {
  int64_t rows, panels, k_step;
  int64_t row_blocks, panel_blocks;
};

Blocking choose_blocking(const MatmulKernels& kernels, int64_t m, int64_t n, int64_t k, int threads) {
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

}  // namespace

const MatmulTypes& matmul_types(Isa isa) { return STRATA_SELECT_ISA(isa, matmul_kernels); }

int64_t packed_bytes(const Stream& stream, DType dtype, int64_t k, int64_t n) {
  const bool on_cpu = stream.device().kind == DeviceKind::cpu;
  const Isa isa = on_cpu ? static_cast<const CpuStream&>(stream).isa() : active_isa();
  const MatmulKernels& kernels = kernels_for(isa, dtype);
  return operand_bytes(kernels, kernels.columns, k, n);
}

void pack(Stream& stream, const Tensor& b, const PackedMatrix& packed) {
  CpuStream& cpu = cpu_stream(stream);
  const MatmulKernels& kernels = kernels_for(cpu.isa(), packed.dtype);
  cpu.enqueue([&pool = cpu.pool(), &kernels, b, bytes = packed.bytes] {
    const Packing packing(kernels, kernels.pack_b, kernels.columns, b, bytes.raw());
    pool.for_each(packing.num_pieces, [&packing](int64_t piece, int) { packing.run(piece); });
  });
}

// A tile of the weight is packed for both products while it is in the second-level cache. What comes out is
// read in the next step at the earliest: written past the caches, unless all of it fits there.
void pack_both(Stream& stream, const Tensor& weight, const PackedMatrix& transposed,
               const PackedMatrix& plain) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&pool = cpu.pool(), isa = cpu.isa(), weight, into_transposed = transposed.bytes,
               into_plain = plain.bytes] {
    const MatmulKernels& kernels = kernels_for(isa, weight.dtype());
    const Packing as_transposed(kernels, kernels.pack_b, kernels.columns, weight.t(), into_transposed.raw());
    const Packing as_plain(kernels, kernels.pack_b, kernels.columns, weight, into_plain.raw());
    // Extents that hold whole panels, groups of narrow panels, and units.
    constexpr int64_t kTileRows = 48, kTileBytes = 128 << 10;
    const int64_t tile_columns = kTileBytes / (kTileRows * size_of(weight.dtype())) / kTileRows * kTileRows;
    const int64_t across = div_up(weight.dim(1), tile_columns);
    const auto pack_part = [&](const Packing& packing, Range lanes, Range k, bool stream) {
      PackPanels part = packing.panels;
      part.first_panel = lanes.begin / kernels.columns;
      part.last_panel = div_up(lanes.end, kernels.columns);
      part.first_unit = k.begin / kernels.k_per_unit;
      part.last_unit = div_up(k.end, kernels.k_per_unit);
      part.stream = stream;
      kernels.pack_b(part);
    };
    const auto pack_tile = [&](int64_t tile, int) {
      const Range rows = range_of(tile / across, kTileRows, weight.dim(0));
      const Range columns = range_of(tile % across, tile_columns, weight.dim(1));
      pack_part(as_transposed, rows, columns, goes_past_caches(into_transposed));
      pack_part(as_plain, columns, rows, goes_past_caches(into_plain));
    };
    pool.for_each(div_up(weight.dim(0), kTileRows) * across, std::ref(pack_tile));
  });
}

int64_t matmul_scratch_bytes(Isa isa, const Matmul& args) { return Space(isa, args).bytes(); }
int64_t matmul_scratch_bytes(const Matmul& args) { return matmul_scratch_bytes(active_isa(), args); }

void matmul(Stream& stream, const Matmul& args) {
  CpuStream& cpu = cpu_stream(stream);
  const MatmulKernels& kernels = kernels_for(cpu.isa(), args.a.dtype());
  const int64_t m = args.out.dim(0), n = args.out.dim(1), k = args.a.dim(1);
  if (m == 0 || n == 0) return;

  const Scratch::Scope scope(stream.scratch());
  const Space space(cpu.isa(), args);
  std::byte* const scratch = stream.scratch().take(space.bytes());
  void* const packed_a = space.a_bytes > 0 ? scratch : nullptr;
  void* const packed_b = args.b ? scratch + space.a_bytes : args.packed_b.bytes.raw();

  cpu.enqueue([&pool = cpu.pool(), &kernels, args, m, n, k, packed_a, packed_b] {
    const Packing a =
        packed_a ? Packing(kernels, kernels.pack_a, kernels.rows, args.a.t(), packed_a) : Packing();
    const Packing b =
        args.b ? Packing(kernels, kernels.pack_b, kernels.columns, args.b, packed_b) : Packing();
    const auto pack_piece = [&](int64_t piece, int) {
      piece < b.num_pieces ? b.run(piece) : a.run(piece - b.num_pieces);
    };
    pool.for_each(a.num_pieces + b.num_pieces, std::ref(pack_piece));

    const MatmulBlock whole{.a = packed_a ? packed_a : args.a.raw(),
                            .a_is_packed = packed_a != nullptr,
                            .a_row_bytes = args.a.stride(0) * size_of(args.a.dtype()),
                            .b = static_cast<const uint32_t*>(packed_b),
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
                            .n = n,
                            .row = 0,
                            .rows = m,
                            .panel = 0,
                            .panels = div_up(n, kernels.columns)};
    const Blocking blocking = choose_blocking(kernels, m, n, k, pool.threads());
    const auto multiply = [&](int64_t index, int) {
      MatmulBlock block = whole;
      block.k_step = blocking.k_step;
      // Blocks that share a piece of b follow one another.
      block.row = index % blocking.row_blocks * blocking.rows;
      block.rows = std::min(blocking.rows, whole.rows - block.row);
      block.panel = index / blocking.row_blocks * blocking.panels;
      block.panels = std::min(blocking.panels, whole.panels - block.panel);
      kernels.block(block);
    };
    pool.for_each(blocking.row_blocks * blocking.panel_blocks, std::ref(multiply));
  });
}

}  // namespace strata::cpu
