// SPDX-License-Identifier: Apache-2.0
// Checks of operands, for every device.
#include "core/ops/quantize.h"

#include "core/ops/op_table.h"
#include "core/ops/operands.h"

namespace strata {
namespace {

constexpr std::initializer_list<DType> kCodes = {DType::f8e4m3, DType::f8e5m2};

const OpTable& table_of(Stream& stream) { return op_table(stream.device().kind); }

void check_scales(const char* op, const char* what, const Quantized& x, int64_t rows, int64_t k) {
  const Shape wanted = scales_shape(x.shape, rows, k);
  check(static_cast<bool>(x.scales), "[{}] the factors of {} are absent", op, what);
  check(x.scales.dtype() == DType::f32 && x.scales.shape() == wanted,
        "[{}] the factors of {}: expected f32 {}, got {} {}", op, what, wanted, name(x.scales.dtype()),
        x.scales.shape());
}

void check_quantized(const char* op, const char* what, const Stream& stream, const Quantized& x, int64_t rows,
                     int64_t k) {
  Operands(op, stream).rows(what, x.codes, {rows, k}, kCodes);
  check_scales(op, what, x, rows, k);
}

}  // namespace

Shape scales_shape(ScaleShape shape, int64_t rows, int64_t k) {
  switch (shape) {
    case ScaleShape::tensor:
      return {1};
    case ScaleShape::row:
      return {rows};
    case ScaleShape::tile:
      return {rows, div_up(k, kScaleTile)};
    case ScaleShape::block:
      return {div_up(rows, kScaleTile), div_up(k, kScaleTile)};
  }
  return {};
}

void quantize(Stream& stream, const Quantize& args) {
  const Operands operands("quantize", stream);
  operands.present("x", args.x, 2);
  const int64_t rows = args.x.dim(0), columns = args.x.dim(1);
  operands.rows("x", args.x, args.x.shape(), kFloats);
  check(args.rows || args.columns, "[quantize] no result is asked for");
  if (args.rows) check_quantized("quantize", "rows", stream, args.rows, rows, columns);
  if (args.columns) check_quantized("quantize", "columns", stream, args.columns, columns, rows);
  for (const Quantized& to : {args.rows, args.columns})
    check(!args.given || !to || to.shape == ScaleShape::tensor,
          "[quantize] a given factor is one of a tensor");
  if (args.given) operands.dense("given", args.given, {1}, {DType::f32});
  if (args.known) operands.dense("known", args.known, {1}, {DType::f32});
  operands.amax(args.amax);
  if (args.counts) operands.dense("counts", args.counts, {kQuantizeCounts}, {DType::f64});
  table_of(stream).quantize(stream, args);
}

void raise_amax(Stream& stream, const Tensor& x, const Tensor& amax) {
  const Operands operands("raise_amax", stream);
  operands.present("x", x, 2);
  operands.rows("x", x, x.shape(), kFloats);
  operands.dense("amax", amax, {1}, {DType::f32});
  table_of(stream).raise_amax(stream, x, amax);
}

void dequantize(Stream& stream, const Quantized& x, const Tensor& out) {
  const Operands operands("dequantize", stream);
  operands.present("out", out, 2);
  operands.rows("out", out, out.shape(), kFloats);
  check_quantized("dequantize", "x", stream, x, out.dim(0), out.dim(1));
  table_of(stream).dequantize(stream, x, out);
}

void pack_codes(Stream& stream, const Quantized& b, const PackedMatrix& packed) {
  const Operands operands("pack_codes", stream);
  check(static_cast<bool>(packed), "[pack_codes] the packed matrix is absent");
  operands.rows("b", b.codes, {packed.n, packed.k}, kCodes);
  check(packed.dtype == DType::bf16, "[pack_codes] panels of codes are bf16, not {}", name(packed.dtype));
  operands.dense("packed", packed.bytes, {packed_bytes(stream, DType::bf16, packed.k, packed.n)},
                 {DType::u8});
  table_of(stream).pack_codes(stream, b, packed);
}

void quantized_matmul(Stream& stream, const QuantizedMatmul& args) {
  const Operands operands("quantized_matmul", stream);
  operands.present("a", args.a.codes, 2);
  operands.present("out", args.out, 2);
  const int64_t m = args.a.codes.dim(0), k = args.a.codes.dim(1), n = args.out.dim(1);
  check_quantized("quantized_matmul", "a", stream, args.a, m, k);
  check(args.a.shape != ScaleShape::block, "[quantized_matmul] a may not have factors of blocks");
  check(static_cast<bool>(args.packed_b) != static_cast<bool>(args.b.codes),
        "[quantized_matmul] expected either codes of b or panels of them");
  if (args.b.codes)
    check_quantized("quantized_matmul", "b", stream, args.b, n, k);
  else
    check_scales("quantized_matmul", "b", args.b, n, k);
  if (args.packed_b)
    check(args.packed_b.k == k && args.packed_b.n == n && args.packed_b.dtype == DType::bf16,
          "[quantized_matmul] packed b is [{}, {}], expected bf16 [{}, {}]", args.packed_b.k, args.packed_b.n,
          k, n);
  operands.rows("out", args.out, {m, n}, kFloats);
  if (args.add) operands.rows("add", args.add, {m, n}, {args.out.dtype()});
  if (args.bias) operands.dense("bias", args.bias, {n}, kFloats);
  check(args.write == Write::overwrite || args.out.dtype() == DType::f32,
        "[quantized_matmul] only f32 is accumulated into");
  table_of(stream).quantized_matmul(stream, args);
}

}  // namespace strata
