// SPDX-License-Identifier: Apache-2.0
// Matrices in 8-bit floating point (OCP OFP8: E4M3 and E5M2) with factors, and products of them.
//
// A quantized matrix [rows, k] is codes with the dim that a product sums behind each other, and factors s in
// f32: an element is code * s. Who shares a factor is a ScaleShape. All devices use one formula (core/format
// has it), so codes and factors are the same bits everywhere:
//   m = largest finite code / amax, rounded to f32; pow2: its mantissa cut off; 1 where amax is 0 or not
//   finite; the largest f32 where that overflows code = round_to_nearest_even(saturate(x * m)), s = 1 / m;
//   NaN stays NaN
#pragma once

#include "core/device/stream.h"
#include "core/format/fp8.h"
#include "core/ops/matmul.h"
#include "core/ops/write.h"
#include "core/tensor/tensor.h"

namespace strata {

constexpr DType dtype_of(Fp8Format format) {
  return format == Fp8Format::e4m3 ? DType::f8e4m3 : DType::f8e5m2;
}

// One factor for the whole, one a row, one for 128 elements of a row, one for 128 rows of 128 elements. Those
// at the edges may be smaller.
enum class ScaleShape : uint8_t { tensor, row, tile, block };
inline constexpr int64_t kScaleTile = 128;

struct Quantized {
  Tensor codes;   // f8e4m3 or f8e5m2 [rows, k], unit stride in k
  Tensor scales;  // f32, scales_shape(shape, rows, k), any strides
  ScaleShape shape = ScaleShape::tensor;

  explicit operator bool() const { return static_cast<bool>(scales); }
};

// [1], [rows], [rows, ceil(k / 128)], [ceil(rows / 128), ceil(k / 128)]
Shape scales_shape(ScaleShape shape, int64_t rows, int64_t k);

// What became of the elements of one quantized tensor; f64 [kQuantizeCounts], added to. Saturated: those that
// a format with larger exponents would have made larger. The sums are those of finite elements.
enum QuantizeCount : int { kCountElements, kCountSaturated, kCountUnderflow, kSumSquares, kSumSquaredError };
inline constexpr int kQuantizeCounts = 5;

// x, read once for both results (twice where a whole tensor shares a factor, and neither the factor nor the
// largest magnitude is given). As all
// operations it may return before the work is done: core/device/stream.h says what must live until when.
struct Quantize {
  Tensor x;           // f32 or bf16 [rows, cols], unit stride in cols
  Quantized rows;     // of x: codes [rows, cols]; optional
  Quantized columns;  // of x^T: codes [cols, rows]; optional. With `block` factors it is the very transpose.
  ScaleKind kind = ScaleKind::f32;
  // f32 [1], ScaleShape::tensor alone: the factor s (m = 1 / s), instead of one made of the largest magnitude
  // of x.
  Tensor given;
  // f32 [1], optional: the largest |x|, of whoever made x. Spares the first read that finds it.
  Tensor known = {};
  Tensor amax;    // f32 [1], optional: becomes the larger of itself and the largest |x|, if that is finite
  Tensor counts;  // f64 [kQuantizeCounts], optional; of `rows`, or of `columns` where these are absent
};
void quantize(Stream& stream, const Quantize& args);

// amax, f32 [1], becomes the larger of itself and the largest |x|, x f32 or bf16 [rows, cols] with unit
// stride in cols. By their bits: NaN is larger than infinity, and infinity than all else. Operations that
// make an operand of quantized products can do the same to what they write (their `amax`), while it is at
// hand.
void raise_amax(Stream& stream, const Tensor& x, const Tensor& amax);

// out = code * s, f32 or bf16 (rounded to nearest even) [rows, k].
void dequantize(Stream& stream, const Quantized& x, const Tensor& out);

// A right operand [n, k] that is multiplied many times, where the device likes panels better (packed_bytes of
// bf16 [k, n], not 0): the codes' values, exact in bf16. The factors stay beside it.
void pack_codes(Stream& stream, const Quantized& b, const PackedMatrix& packed);

// out = a . b^T (+ bias) (+ add), f32 sums. With `tile` or `block` factors the sum over every 128 of k is
// scaled on its own and added in f32 (promotion: DeepSeek-V3, arXiv:2412.19437, section 3.3.2); other factors
// are applied to the finished sum. The bits do not depend on the number of threads.
struct QuantizedMatmul {
  Quantized a;                     // [m, k], no `block` factors
  Quantized b;                     // [n, k]; its codes may be absent, with:
  PackedMatrix packed_b;           // their values, packed
  Tensor out;                      // [m, n], unit stride in n; f32 or bf16
  Tensor bias;                     // [n], bf16 or f32; optional
  Tensor add;                      // [m, n], dtype of out, may be `out` itself; optional
  Write write = Write::overwrite;  // accumulate: out (f32 only) += the finished product
};
void quantized_matmul(Stream& stream, const QuantizedMatmul& args);

}  // namespace strata
