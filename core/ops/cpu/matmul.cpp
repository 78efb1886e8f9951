// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cpu/matmul.h"

#include <algorithm>
#include <functional>

#include "core/ops/cpu/matmul_blocking.h"

namespace strata::cpu {
namespace {

const MatmulKernels& kernels_for(Isa isa, DType dtype) {
  const MatmulTypes& types = matmul_types(isa);
  return dtype == DType::bf16 ? types.bf16 : types.f32;
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

// The `index`-th piece of [0, count).
Range range_of(int64_t index, int64_t piece, int64_t count) {
  return {index * piece, std::min(count, (index + 1) * piece)};
}

bool goes_past_caches(const Tensor& packed) {
  constexpr int64_t kLarge = 1 << 20;
  return packed.bytes() >= kLarge && reinterpret_cast<uintptr_t>(packed.raw()) % 64 == 0;
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

    MatmulBlock whole = whole_block(kernels, args, k);
    whole.a = packed_a ? packed_a : args.a.raw();
    whole.a_is_packed = packed_a != nullptr;
    whole.a_row_bytes = args.a.stride(0) * size_of(args.a.dtype());
    whole.b = static_cast<const uint32_t*>(packed_b);
    const Blocking blocking = choose_blocking(kernels, m, n, k, pool.threads());
    const auto multiply = [&](int64_t index, int) { kernels.block(block_at(blocking, whole, index)); };
    pool.for_each(blocking.row_blocks * blocking.panel_blocks, std::ref(multiply));
  });
}

}  // namespace strata::cpu
