// SPDX-License-Identifier: Apache-2.0
// Products of codes by the library's modes for them on Hopper (cuBLASLt 12.9 and later): a factor a tensor, a
// row, a tile of 128 or a block of 128 x 128. What it asks of sizes and addresses is met by padding with
// zeros, which are exact; factors are laid as it reads them.
#include <bit>
#include <utility>

#include "core/ops/cuda/blas.h"
#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/matmul_edges.h"
#include "core/ops/cuda/quantize_edges.h"

namespace strata::cuda {
namespace {

constexpr int64_t kBytes = 16;  // of addresses and rows; also what m, n and k are multiples of
constexpr int64_t kScalesPerBlockRow = 4;

bool lies_well(const Tensor& x) {
  return !x || (std::bit_cast<uintptr_t>(x.raw()) % kBytes == 0 &&
                (x.rank() < 2 || x.stride(0) * size_of(x.dtype()) % kBytes == 0));
}
bool by_chunks(ScaleShape shape) { return shape == ScaleShape::tile || shape == ScaleShape::block; }

// One operand as the library gets it: codes as they are or padded, factors as they are or arranged.
struct Operand {
  const Quantized* from;
  int64_t rows, k, chunks;  // padded
  BlasScales scales;        // data is set when there is memory
  int64_t scale_rows_each = 1, scale_rows = 1, scale_row_stride = 1, scale_chunk_stride = 1, scale_count = 1;
  bool pads, arranges;

  Operand(const Quantized& x, const Quantized& other)
      : from(&x),
        rows(round_up(x.codes.dim(0), kBytes)),
        k(round_up(x.codes.dim(1), kBytes)),
        chunks(div_up(x.codes.dim(1), kScaleTile)),
        pads(rows != x.codes.dim(0) || k != x.codes.dim(1) || !lies_well(x.codes)) {
    const Tensor& s = x.scales;
    bool fits = false;
    if (by_chunks(x.shape) || by_chunks(other.shape)) {
      if (x.shape == ScaleShape::block) {
        scales.mode = BlasScaleMode::block;
        scale_rows_each = kScaleTile;
        scale_rows = div_up(rows, kScaleTile);
        scale_row_stride = round_up(chunks, kScalesPerBlockRow);
        scale_count = scale_rows * scale_row_stride;
        fits = s.stride(1) == 1 && s.stride(0) == scale_row_stride;
      } else {
        scales.mode = BlasScaleMode::tile;
        scale_rows = scale_chunk_stride = rows;
        scale_count = rows * chunks;
        fits = x.shape == ScaleShape::tile && s.stride(0) == 1 && s.stride(1) == rows;
      }
    } else if (x.shape == ScaleShape::row || other.shape == ScaleShape::row) {
      chunks = 1;
      scales.mode = BlasScaleMode::row;
      scale_rows = scale_count = rows;
      fits = x.shape == ScaleShape::row && s.stride(0) == 1;
    } else {
      chunks = 1;
      scales.mode = BlasScaleMode::tensor;
      fits = true;
    }
    const bool padded_rows = scales.mode == BlasScaleMode::row || scales.mode == BlasScaleMode::tile;
    // In a plan, which has no addresses: as if a slice of factors began anywhere.
    arranges = !fits || s.raw() == nullptr || std::bit_cast<uintptr_t>(s.raw()) % kBytes != 0 ||
               (padded_rows && rows != x.codes.dim(0));
  }
  int64_t code_bytes() const { return pads ? round_up(rows * k, kTensorAlignment) : 0; }
  int64_t scale_bytes() const {
    return arranges ? round_up(scale_count * size_of(DType::f32), kTensorAlignment) : 0;
  }
  int64_t bytes() const { return code_bytes() + scale_bytes(); }

  // The matrix [rows, k], made ready in `memory`.
  BlasMatrix prepare(CudaStream& stream, std::byte* memory) {
    BlasMatrix matrix{.data = from->codes.raw(),
                      .dtype = from->codes.dtype(),
                      .rows = rows,
                      .columns = k,
                      .stride = from->codes.stride(0)};
    if (pads) {
      pad_codes(stream, from->codes, reinterpret_cast<uint8_t*>(memory), rows, k);
      matrix.data = memory;
      matrix.stride = k;
    }
    scales.data = from->scales.data<const float>();
    if (arranges) {
      auto* const to = reinterpret_cast<float*>(memory + code_bytes());
      arrange_scales(stream, *from, scale_rows_each, scale_rows, chunks, to, scale_row_stride,
                     scale_chunk_stride);
      scales.data = to;
    }
    return matrix;
  }
};

struct Space {
  Operand a, b;
  Tensor addend;  // what the library can add
  bool direct;    // it writes `out` itself

  explicit Space(const QuantizedMatmul& args)
      : a(args.a, args.b),
        b(args.b, args.a),
        addend(args.write == Write::accumulate ? args.out : args.add),
        direct(args.out.dim(0) == a.rows && args.out.dim(1) == b.rows && lies_well(args.out) &&
               lies_well(addend)) {}

  int64_t out_bytes() const { return direct ? 0 : a.rows * b.rows * size_of(DType::f32); }
  int64_t bytes() const { return a.bytes() + b.bytes() + out_bytes(); }
};

BlasMatrix plain(const Tensor& x) {
  return {.data = x.raw(), .dtype = x.dtype(), .rows = x.dim(0), .columns = x.dim(1), .stride = x.stride(0)};
}

bool is_empty(const QuantizedMatmul& args) { return args.out.numel() == 0 || args.a.codes.dim(1) == 0; }

}  // namespace

void pack_codes(Stream&, const Quantized&, const PackedMatrix&) {}
int64_t pack_codes_scratch(const Quantized&) { return 0; }

int64_t quantized_matmul_scratch(const QuantizedMatmul& args) {
  return is_empty(args) ? 0 : round_up(Space(args).bytes(), kTensorAlignment) + kBlasScratch;
}

void quantized_matmul(Stream& stream, const QuantizedMatmul& args) {
  check(static_cast<bool>(args.b.codes),
        "[quantized_matmul] a GPU takes codes as they are: those of b are absent");
  check(args.a.codes.dtype() == DType::f8e4m3 || args.b.codes.dtype() == DType::f8e4m3,
        "[quantized_matmul] a GPU has no product of two E5M2 matrices: one of them must be E4M3");
  if (args.out.numel() == 0) return;
  CudaStream& cuda = cuda_stream(stream);
  const bool accumulates = args.write == Write::accumulate;
  if (is_empty(args)) {  // a sum of no products
    if (!accumulates) set_rows(cuda, args.out, args.add);
    if (accumulates && args.add) add_matrix(cuda, args.add, args.out);
    if (args.bias) add_to_rows(cuda, args.bias, args.out);
    return;
  }
  Space space(args);
  const Scratch::Scope scope(stream.scratch());
  std::byte* next = stream.scratch().take(round_up(space.bytes(), kTensorAlignment));
  const auto take = [&next](int64_t bytes) { return std::exchange(next, next + bytes); };

  BlasProduct product{.a = space.a.prepare(cuda, take(space.a.bytes())),
                      .b = space.b.prepare(cuda, take(space.b.bytes())),
                      .out = {}};
  std::swap(product.b.rows, product.b.columns);  // as the product sees it: [k, n]
  product.b.transposed = true;
  product.a_scales = space.a.scales;
  product.b_scales = space.b.scales;
  auto* const padded = reinterpret_cast<float*>(take(space.out_bytes()));
  bool fused_bias = false;
  if (space.direct) {
    product.out = plain(args.out);
    if (space.addend) product.add = plain(space.addend);
    fused_bias = args.bias && args.bias.dtype() == DType::bf16 && args.out.dtype() == DType::bf16 &&
                 lies_well(args.bias);
    if (fused_bias) product.bias = args.bias.raw();
  } else {
    product.out = {.data = padded,
                   .dtype = DType::f32,
                   .rows = space.a.rows,
                   .columns = space.b.rows,
                   .stride = space.b.rows};
  }
  run_product(cuda, product, aligned_workspace(stream.scratch()));
  if (!space.direct) {
    finish_product(cuda, padded, space.b.rows, args.bias, args.add, accumulates, args.out);
    return;
  }
  if (accumulates && args.add) add_matrix(cuda, args.add, args.out);
  if (args.bias && !fused_bias) add_to_rows(cuda, args.bias, args.out);
}

}  // namespace strata::cuda
