// SPDX-License-Identifier: Apache-2.0
// Products of codes: what they stand for is exact in bf16, and so are the products of two such values in f32;
// the bf16 kernel multiplies them and applies the factors.
#include <algorithm>
#include <functional>
#include <utility>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"
#include "core/ops/cpu/kernels/quantize_kernels.h"
#include "core/ops/cpu/matmul.h"
#include "core/ops/cpu/matmul_blocking.h"
#include "core/ops/cpu/parallel.h"
#include "core/ops/cpu/scale_at.h"

namespace strata::cpu {
namespace {

bool by_chunks(ScaleShape shape) { return shape == ScaleShape::tile || shape == ScaleShape::block; }

int64_t chunk_of(const QuantizedMatmul& args) {
  const int64_t k = args.a.codes.dim(1);
  return by_chunks(args.a.shape) || by_chunks(args.b.shape) ? kScaleTile : std::max<int64_t>(k, 1);
}

// The working memory of a product, in bytes: a's values as they are where the kernel reads such, panels of
// the rest, factors of every row and column.
struct Space {
  const MatmulKernels& kernels;
  int64_t m, n, k, chunks, columns;
  int64_t a_bytes, b_bytes, a_scales, b_scales;

  Space(Isa isa, const QuantizedMatmul& args)
      : kernels(matmul_types(isa).bf16),
        m(args.out.dim(0)),
        n(args.out.dim(1)),
        k(args.a.codes.dim(1)),
        chunks(div_up(k, chunk_of(args))),
        columns(round_up(n, kernels.columns)) {
    const auto aligned = [](int64_t bytes) { return round_up(bytes, kTensorAlignment); };
    a_bytes =
        aligned(kernels.reads_a ? m * k * size_of(DType::bf16) : operand_bytes(kernels, kernels.rows, k, m));
    b_bytes = args.packed_b ? 0 : aligned(operand_bytes(kernels, kernels.columns, k, n));
    a_scales = aligned(m * chunks * size_of(DType::f32));
    b_scales = aligned(columns * chunks * size_of(DType::f32));
  }
  int64_t bytes() const { return a_bytes + b_bytes + a_scales + b_scales; }
};

using Decode = void (*)(const uint8_t* codes, int64_t count, bf16* values);

Decode decode_of(Isa isa, const Tensor& codes) {
  const QuantizeKernels& kernels = STRATA_SELECT_ISA(isa, quantize_kernels);
  return codes.dtype() == DType::f8e4m3 ? kernels.e4m3.decode : kernels.e5m2.decode;
}

const uint8_t* row_of(const Tensor& codes, int64_t row) {
  return reinterpret_cast<const uint8_t*>(codes.raw()) + row * codes.stride(0);
}

// Codes [lanes, k] on their way into panels: a few hundred elements of every lane of a panel are decoded
// where the first-level cache has them, and packed from there.
struct CodePacking {
  const MatmulKernels& kernels;
  void (*pack)(const PackPanels&);
  int lanes;
  Decode decode;
  Tensor codes;
  std::byte* out;

  void run(int64_t panel) const {
    constexpr int64_t kStep = 256, kMostLanes = 48;
    check(lanes <= kMostLanes, "[pack codes] panels of {} lanes", lanes);
    alignas(64) bf16 values[kMostLanes * kStep];
    const int64_t k = codes.dim(1), first = panel * lanes,
                  count = std::min<int64_t>(lanes, codes.dim(0) - first);
    auto* units = reinterpret_cast<uint32_t*>(out + panel * panel_bytes(kernels, lanes, k));
    for (int64_t at = 0; at < k; at += kStep) {
      const int64_t length = std::min(kStep, k - at), num_units = div_up(length, kernels.k_per_unit);
      for (int64_t lane = 0; lane < count; ++lane)
        decode(row_of(codes, first + lane) + at, length, values + lane * kStep);
      pack({.source = values,
            .k_stride = 1,
            .lane_stride = kStep,
            .k = length,
            .lanes = count,
            .units = units,
            .first_panel = 0,
            .last_panel = 1,
            .first_unit = 0,
            .last_unit = num_units,
            .stream = false});
      units += num_units * lanes;
    }
  }
  int64_t num_panels() const { return div_up(codes.dim(0), lanes); }
};

CodePacking packing_of_b(const MatmulKernels& kernels, Isa isa, const Tensor& codes, std::byte* out) {
  return {kernels, kernels.pack_b, kernels.columns, decode_of(isa, codes), codes, out};
}

// Ranges of [0, count), each as many as take some 128 KiB.
struct Pieces {
  int64_t count, step;

  Pieces(int64_t count, int64_t bytes)
      : count(count), step(std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, bytes))) {}
  int64_t num() const { return div_up(count, step); }
  Range at(int64_t index) const { return {index * step, std::min(count, (index + 1) * step)}; }
};

}  // namespace

int64_t quantized_matmul_scratch(const QuantizedMatmul& args) { return Space(active_isa(), args).bytes(); }
int64_t pack_codes_scratch(const Quantized&) { return 0; }

void pack_codes(Stream& stream, const Quantized& b, const PackedMatrix& packed) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([&pool = cpu.pool(), isa = cpu.isa(), codes = b.codes, packed] {
    const CodePacking packing = packing_of_b(matmul_types(isa).bf16, isa, codes, packed.bytes.raw());
    pool.for_each(packing.num_panels(), [&](int64_t panel, int) { packing.run(panel); });
  });
}

void quantized_matmul(Stream& stream, const QuantizedMatmul& args) {
  CpuStream& cpu = cpu_stream(stream);
  const Isa isa = cpu.isa();
  const Space space(isa, args);
  if (space.m == 0 || space.n == 0) return;
  const Scratch::Scope scope(stream.scratch());
  std::byte* next = stream.scratch().take(space.bytes());
  const auto take = [&next](int64_t bytes) { return std::exchange(next, next + bytes); };
  std::byte *const a_at = take(space.a_bytes), *const b_at = take(space.b_bytes);
  auto* const a_scales = reinterpret_cast<float*>(take(space.a_scales));
  auto* const b_scales = reinterpret_cast<float*>(take(space.b_scales));

  cpu.enqueue([=, &pool = cpu.pool()] {
    const auto& [kernels, m, n, k, chunks, columns, s0, s1, s2, s3] = space;
    const int lanes = kernels.reads_a ? 1 : kernels.rows;  // of a: rows that are prepared together
    const CodePacking a{kernels, kernels.pack_a, lanes, decode_of(isa, args.a.codes), args.a.codes, a_at};
    const auto prepare_a = [&](int64_t panel) {
      if (kernels.reads_a)
        a.decode(row_of(a.codes, panel), k, reinterpret_cast<bf16*>(a_at) + panel * k);
      else
        a.run(panel);
      for (int64_t row = panel * lanes; row < std::min(m, (panel + 1) * lanes); ++row)
        for (int64_t chunk = 0; chunk < chunks; ++chunk)
          a_scales[row * chunks + chunk] = scale_at(args.a, row, chunk);
    };
    const auto prepare_b = [&](int64_t panel) {
      if (!args.packed_b) packing_of_b(kernels, isa, args.b.codes, b_at).run(panel);
      for (int64_t chunk = 0; chunk < chunks; ++chunk)
        for (int64_t column = panel * kernels.columns; column < (panel + 1) * kernels.columns; ++column)
          b_scales[chunk * columns + column] = column < n ? scale_at(args.b, column, chunk) : 0;
    };
    const Pieces of_a(a.num_panels(), 3 * k * lanes);
    const Pieces of_b(columns / kernels.columns, (args.packed_b ? 4 * chunks : 3 * k) * kernels.columns);
    pool.for_each(of_a.num() + of_b.num(), [&](int64_t piece, int) {
      const bool is_b = piece < of_b.num();
      const Range panels = is_b ? of_b.at(piece) : of_a.at(piece - of_b.num());
      for (int64_t panel = panels.begin; panel < panels.end; ++panel)
        is_b ? prepare_b(panel) : prepare_a(panel);
    });

    Blocking blocking = choose_blocking(kernels, m, n, k, pool.threads());
    if (chunks > 1) blocking.k_step = std::max(kScaleTile, blocking.k_step / kScaleTile * kScaleTile);
    MatmulBlock whole = whole_block(kernels, args, k);
    whole.a = a_at;
    whole.a_is_packed = !kernels.reads_a;
    whole.a_row_bytes = k * size_of(DType::bf16);
    whole.b = reinterpret_cast<const uint32_t*>(args.packed_b ? args.packed_b.bytes.raw() : b_at);
    const auto multiply = [&](int64_t index, int) {
      kernels.scaled_block({.block = block_at(blocking, whole, index),
                            .chunk = kScaleTile,
                            .a_scales = a_scales,
                            .chunks = chunks,
                            .b_scales = b_scales,
                            .b_scales_stride = columns});
    };
    pool.for_each(blocking.row_blocks * blocking.panel_blocks, std::ref(multiply));
  });
}

}  // namespace strata::cpu
