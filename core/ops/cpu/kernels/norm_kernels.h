// SPDX-License-Identifier: Apache-2.0
// Kernels of RMSNorm and LayerNorm over a range of rows.
#pragma once

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/ops/cpu/kernels/matrix_ref.h"

namespace strata::cpu {

struct NormForwardRows {
  MatrixRef x, weight, bias, y;  // bias: LayerNorm only
  float* mean;                   // [rows * groups]; null: not kept, or RMSNorm
  float* rstd;                   // null: not kept
  int64_t groups, width;
  float eps;
};

struct NormBackwardRows {
  MatrixRef x, weight, dy, dx, add;  // add.data null: nothing is added
  const float* mean;                 // LayerNorm only
  const float* rstd;
  int64_t groups, width;
};

struct NormKernels {
  void (*rms_forward)(const NormForwardRows&, Range rows);
  void (*layer_forward)(const NormForwardRows&, Range rows);
  // dweight and dbias (f32 [width]) receive the sums over these rows alone; null: not wanted.
  void (*rms_backward)(const NormBackwardRows&, Range rows, float* dweight);
  void (*layer_backward)(const NormBackwardRows&, Range rows, float* dweight, float* dbias);
};
STRATA_DECLARE_PER_ISA(const NormKernels norm_kernels);

}  // namespace strata::cpu
