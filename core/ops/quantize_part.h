// SPDX-License-Identifier: Apache-2.0
// Quantizing a matrix of which every rank has a part, so that codes can travel in place of values: magnitudes
// of the parts, whose maxima over the ranks are those of the matrix, then codes of each part. Together they
// are the bits that quantize() (quantize.h) makes of the whole.
#pragma once

#include "core/ops/quantize.h"

namespace strata {

// The elements of a matrix [rows, k] that lie from `begin` on in row-major order. Behind its last element
// there is padding.
struct MatrixPart {
  Tensor x;  // f32 or bf16 [count]
  int64_t begin = 0;
  int64_t rows = 0, k = 0;
  ScaleShape shape = ScaleShape::tensor;  // of the factors: tensor or block
};

// amax, f32 scales_shape(shape, rows, k), becomes the largest magnitude of what the part has of each factor's
// elements: 0 of none, infinity where one is not finite.
void part_magnitudes(Stream& stream, const MatrixPart& part, const Tensor& amax);

// From the largest magnitudes over all parts: codes f8 [count] of this one, 0 of padding, and the factors of
// the whole matrix, f32 as amax is.
struct QuantizePart {
  MatrixPart part;
  Tensor amax;
  ScaleKind kind = ScaleKind::f32;
  Tensor codes, scales;
};
void quantize_part(Stream& stream, const QuantizePart& args);

}  // namespace strata
