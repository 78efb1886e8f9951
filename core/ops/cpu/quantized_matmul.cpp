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

// The working memory of a product.
struct Space {
  const MatmulKernels& kernels;
  int64_t m, n, k, chunks, columns;
  int64_t a_values, a_panels, b_values, b_panels, a_scales, b_scales;  // bytes

  Space(Isa isa, const QuantizedMatmul& args)
      : kernels(matmul_types(isa).bf16),
        m(args.out.dim(0)),
        n(args.out.dim(1)),
        k(args.a.codes.dim(1)),
        chunks(div_up(k, chunk_of(args))),
        columns(round_up(n, kernels.columns)) {
    const auto values = [&](int64_t rows) {
      return round_up(rows * k * size_of(DType::bf16), kTensorAlignment);
    };
    const auto floats = [](int64_t count) { return round_up(count * size_of(DType::f32), kTensorAlignment); };
    a_values = values(m);
    a_panels = kernels.reads_a ? 0 : round_up(operand_bytes(kernels, kernels.rows, k, m), kTensorAlignment);
    b_values = args.packed_b ? 0 : values(n);
    b_panels = args.packed_b ? 0 : round_up(operand_bytes(kernels, kernels.columns, k, n), kTensorAlignment);
    a_scales = floats(m * chunks);
    b_scales = floats(columns * chunks);
  }
  int64_t bytes() const { return a_values + a_panels + b_values + b_panels + a_scales + b_scales; }
};

const CodeKernels& code_kernels(Isa isa, DType codes) {
  const QuantizeKernels& kernels = STRATA_SELECT_ISA(isa, quantize_kernels);
  return codes == DType::f8e4m3 ? kernels.e4m3 : kernels.e5m2;
}

void decode_rows(WorkerPool& pool, Isa isa, const Tensor& codes, bf16* values) {
  const int64_t k = codes.dim(1);
  const CodeKernels& kernels = code_kernels(isa, codes.dtype());
  for_rows(pool, codes.dim(0), 3 * k, [&](Range rows) {
    for (int64_t r = rows.begin; r < rows.end; ++r)
      kernels.decode(reinterpret_cast<const uint8_t*>(codes.raw()) + r * codes.stride(0), k, values + r * k);
  });
}

void run_packing(WorkerPool& pool, const Packing& packing) {
  pool.for_each(packing.num_pieces, [&packing](int64_t piece, int) { packing.run(piece); });
}

Tensor values_of(void* at, int64_t rows, int64_t k) { return Tensor::borrow(at, DType::bf16, {rows, k}); }

}  // namespace

int64_t quantized_matmul_scratch(const QuantizedMatmul& args) { return Space(active_isa(), args).bytes(); }
int64_t pack_codes_scratch(const Quantized& b) { return b.codes.numel() * size_of(DType::bf16); }

void pack_codes(Stream& stream, const Quantized& b, const PackedMatrix& packed) {
  CpuStream& cpu = cpu_stream(stream);
  const Scratch::Scope scope(stream.scratch());
  std::byte* const values = stream.scratch().take(pack_codes_scratch(b));
  cpu.enqueue([&pool = cpu.pool(), isa = cpu.isa(), codes = b.codes, packed, values] {
    const MatmulKernels& kernels = matmul_types(isa).bf16;
    decode_rows(pool, isa, codes, reinterpret_cast<bf16*>(values));
    run_packing(pool, Packing(kernels, kernels.pack_b, kernels.columns,
                              values_of(values, codes.dim(0), codes.dim(1)).t(), packed.bytes.raw()));
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
  std::byte *const a_values = take(space.a_values), *const a_panels = take(space.a_panels);
  std::byte *const b_values = take(space.b_values), *const b_panels = take(space.b_panels);
  auto* const a_scales = reinterpret_cast<float*>(take(space.a_scales));
  auto* const b_scales = reinterpret_cast<float*>(take(space.b_scales));

  cpu.enqueue([=, &pool = cpu.pool()] {
    const auto& [kernels, m, n, k, chunks, columns, s0, s1, s2, s3, s4, s5] = space;
    decode_rows(pool, isa, args.a.codes, reinterpret_cast<bf16*>(a_values));
    if (!kernels.reads_a)
      run_packing(pool,
                  Packing(kernels, kernels.pack_a, kernels.rows, values_of(a_values, m, k).t(), a_panels));
    if (!args.packed_b) {
      decode_rows(pool, isa, args.b.codes, reinterpret_cast<bf16*>(b_values));
      run_packing(pool,
                  Packing(kernels, kernels.pack_b, kernels.columns, values_of(b_values, n, k).t(), b_panels));
    }
    for_rows(pool, m, chunks, [&](Range rows) {
      for (int64_t row = rows.begin; row < rows.end; ++row)
        for (int64_t chunk = 0; chunk < chunks; ++chunk)
          a_scales[row * chunks + chunk] = scale_at(args.a, row, chunk);
    });
    for_rows(pool, columns, chunks, [&](Range range) {
      for (int64_t chunk = 0; chunk < chunks; ++chunk)
        for (int64_t column = range.begin; column < range.end; ++column)
          b_scales[chunk * columns + column] = column < n ? scale_at(args.b, column, chunk) : 0;
    });

    Blocking blocking = choose_blocking(kernels, m, n, k, pool.threads());
    if (chunks > 1) blocking.k_step = std::max(kScaleTile, blocking.k_step / kScaleTile * kScaleTile);
    const void* const b = args.packed_b ? args.packed_b.bytes.raw() : b_panels;
    const ScaledBlock whole{.block = {.a = kernels.reads_a ? a_values : a_panels,
                                      .a_is_packed = !kernels.reads_a,
                                      .a_row_bytes = k * size_of(DType::bf16),
                                      .b = static_cast<const uint32_t*>(b),
                                      .k = k,
                                      .k_step = blocking.k_step,
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
                                      .panels = columns / kernels.columns},
                            .chunk = kScaleTile,
                            .a_scales = a_scales,
                            .chunks = chunks,
                            .b_scales = b_scales,
                            .b_scales_stride = columns};
    const auto multiply = [&](int64_t index, int) {
      ScaledBlock part = whole;
      // Blocks that share a piece of b follow one another.
      part.block.row = index % blocking.row_blocks * blocking.rows;
      part.block.rows = std::min(blocking.rows, m - part.block.row);
      part.block.panel = index / blocking.row_blocks * blocking.panels;
      part.block.panels = std::min(blocking.panels, whole.block.panels - part.block.panel);
      kernels.scaled_block(part);
    };
    pool.for_each(blocking.row_blocks * blocking.panel_blocks, std::ref(multiply));
  });
}

}  // namespace strata::cpu
