// SPDX-License-Identifier: Apache-2.0
// Kernels of softmax cross-entropy over a range of rows.
#pragma once

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/ops/cpu/kernels/matrix_ref.h"

namespace strata::cpu {

struct SoftmaxRows {
  MatrixRef logits;  // [rows, padded]
  const int32_t* targets;
  int64_t vocab, padded, first_token;
  float *max, *sum, *target_logit;
};

struct CrossEntropyRows {
  SoftmaxRows softmax;  // max, sum and target_logit are read
  float* nll;
  const float* weight;  // of a row's gradient; null: 1
  float scale;
  bool gradient;
};

struct LossKernels {
  void (*softmax_stats)(const SoftmaxRows&, Range rows);
  void (*rescale_sums)(const float* from, const float* to, float* sum, int64_t count);
  void (*cross_entropy)(const CrossEntropyRows&, Range rows);
};
STRATA_DECLARE_PER_ISA(const LossKernels loss_kernels);

}  // namespace strata::cpu
