// SPDX-License-Identifier: Apache-2.0
// RMSNorm (Zhang and Sennrich 2019) and LayerNorm (Ba et al. 2016), over groups of `width` = weight.numel()
// elements: a row of x [rows, groups * width] holds `groups` independent vectors (1 for a block's norm, the
// heads for q/k norm). x, y, dx, dy: f32 or bf16 alike, unit stride in dim 1, any row stride. Arithmetic in
// f32. Weights f32 or bf16. amax, f32 [1], optional: raised to the largest |y|, as raise_amax (quantize.h)
// would.
#pragma once

#include "core/device/stream.h"
#include "core/ops/write.h"
#include "core/tensor/tensor.h"

namespace strata {

// y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).
struct RmsNormForward {
  Tensor x, weight, y;
  Tensor rstd;  // f32 [rows * groups], written; absent: not kept
  float eps = 1e-5f;
  Tensor amax = {};
};
void rms_norm_forward(Stream& stream, const RmsNormForward& args);

// dx = (add +) the gradient through the norm; dweight (op)= sum over rows and groups of dy * x * rstd.
struct RmsNormBackward {
  Tensor x, weight, rstd, dy;
  Tensor dx;       // may be dy or add itself
  Tensor add;      // like dx; the gradient that came round the norm by the residual path; optional
  Tensor dweight;  // f32 [width]; absent: not computed
  Write write = Write::accumulate;  // of dweight
};
void rms_norm_backward(Stream& stream, const RmsNormBackward& args);

// y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(var(x) + eps), var biased.
struct LayerNormForward {
  Tensor x, weight, bias, y;
  Tensor mean, rstd;  // f32 [rows * groups]; absent: not kept
  float eps = 1e-5f;
  Tensor amax = {};
};
void layer_norm_forward(Stream& stream, const LayerNormForward& args);

struct LayerNormBackward {
  Tensor x, weight, mean, rstd, dy;
  Tensor dx, add;         // as RmsNormBackward
  Tensor dweight, dbias;  // f32 [width], both or neither
  Write write = Write::accumulate;
};
void layer_norm_backward(Stream& stream, const LayerNormBackward& args);

}  // namespace strata
