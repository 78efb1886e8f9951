// SPDX-License-Identifier: Apache-2.0
// Kernels without a sum: activations, rotary embedding, casts, fills, additions, largest magnitudes and
// normal numbers.
#pragma once

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/ops/cpu/kernels/matrix_ref.h"

namespace strata::cpu {

struct SwigluRows {
  MatrixRef gate_up;  // [rows, 2 * width]
  MatrixRef dy;       // backward only
  MatrixRef out;      // forward: y; backward: dgate_up
  int64_t width;
};

struct GeluRows {
  MatrixRef x;
  MatrixRef dy;   // backward only
  MatrixRef out;  // forward: y; backward: dx
  int64_t width;
};

struct RopeRows {
  MatrixRef x;
  const int32_t* positions;  // checked by the caller
  const float *cos, *sin;    // [max_positions, half]
  int64_t heads, half;
  float direction;  // 1 or, turning back, -1
};

struct PointwiseKernels {
  void (*swiglu_forward)(const SwigluRows&, Range rows);
  void (*swiglu_backward)(const SwigluRows&, Range rows);
  void (*gelu_forward)(const GeluRows&, Range rows);
  void (*gelu_backward)(const GeluRows&, Range rows);
  void (*rope)(const RopeRows&, Range rows);
  void (*copy)(MatrixRef from, MatrixRef to, int64_t count);  // one row
  void (*fill)(MatrixRef x, float value, int64_t count);
  void (*add)(MatrixRef a, MatrixRef b, MatrixRef out, int64_t count);
  void (*scale)(float* x, float factor, int64_t count);
  // The largest magnitude of `width` columns of these rows, as the bits of a float.
  uint32_t (*magnitude)(MatrixRef x, Range rows, int64_t width);
  // Two normal numbers from two words, sixteen pairs a time: z[2i], z[2i+1] from bits[2i], bits[2i+1], i in
  // [0, 16).
  void (*normal32)(const uint32_t* bits, float std, float* z);
};
STRATA_DECLARE_PER_ISA(const PointwiseKernels pointwise_kernels);

}  // namespace strata::cpu
