// SPDX-License-Identifier: Apache-2.0
// The operations of core/ops as they stand in a textbook: double precision, plain loops, no tiling. Their
// gradients are checked against finite differences in tests/core/ops/reference_test.cpp.
#pragma once

#include <span>

#include "core/ops/attention.h"
#include "tests/support/matrix.h"

namespace strata::reference {

struct NormResult {
  Matrix y, mean, rstd;  // statistics: one row of rows * groups
};
struct NormGradient {
  Matrix dx, dweight, dbias;
};
NormResult rms_norm(const Matrix& x, const Matrix& weight, double eps);
NormGradient rms_norm_backward(const Matrix& x, const Matrix& weight, double eps, const Matrix& dy);
NormResult layer_norm(const Matrix& x, const Matrix& weight, const Matrix& bias, double eps);
NormGradient layer_norm_backward(const Matrix& x, const Matrix& weight, double eps, const Matrix& dy);

Matrix rope(const Matrix& x, const Matrix& positions, const Matrix& cos, const Matrix& sin, bool inverse);

Matrix swiglu(const Matrix& gate_up);
Matrix swiglu_backward(const Matrix& gate_up, const Matrix& dy);
Matrix gelu(const Matrix& x);
Matrix gelu_backward(const Matrix& x, const Matrix& dy);

struct AttentionShape {
  int64_t heads, kv_heads;
  double scale;
  bool causal;
  std::vector<AttentionSegment> segments;
};
struct AttentionResult {
  Matrix out, lse;  // lse [heads, tokens]
};
struct AttentionGradient {
  Matrix dq, dk, dv;
};
// Heads of v, out and dout may be of another size than those of q and k.
AttentionResult attention(const Matrix& q, const Matrix& k, const Matrix& v, const AttentionShape& shape);
// `out` is an operand of the operation: exact, or as it was rounded.
AttentionGradient attention_backward(const Matrix& q, const Matrix& k, const Matrix& v, const Matrix& out,
                                     const AttentionShape& shape, const Matrix& dout);

struct CrossEntropyResult {
  Matrix max, sum, target_logit, nll;  // one row each
  Matrix gradient;                     // like the logits
};
CrossEntropyResult cross_entropy(const Matrix& logits, const Matrix& targets, int64_t vocab,
                                 int64_t first_token, double scale);

}  // namespace strata::reference
