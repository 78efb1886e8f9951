// SPDX-License-Identifier: Apache-2.0
// AdamW for one element (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm
// 2), with the bias correction and the place of eps of torch.optim.AdamW. The only copy of the formula: every
// state format and every device runs this function. It uses nothing but IEEE additions, products, quotients
// and square roots, each rounded once (no contraction into fused multiply-adds, no approximate reciprocals),
// so all paths give equal bits.
#pragma once

#include <cmath>

#include "core/base/host_device.h"
#include "core/base/philox.h"
#include "optim/canonical.h"

namespace strata {

// What all elements of a parameter share in one step; computed in double and rounded once (adamw.cpp).
struct AdamwCoefficients {
  float gradient_scale = 1;  // clip coefficient
  float beta1 = 0;
  float one_minus_beta1 = 1;
  float beta2 = 0;
  float one_minus_beta2 = 1;
  float step_size = 0;           // lr / (1 - beta1^t)
  float inverse_root_bias2 = 1;  // 1 / sqrt(1 - beta2^t)
  float eps = 0;
  float decay = 0;  // lr * weight_decay
  // For formats that round stochastically: the parameter's and the step's, and the element that the span
  // begins with.
  RandomKey key;
  uint64_t first_index = 0;
};

struct AdamwElement {
  float value = 0;    // the f32 value the rule steps from (the master)
  float moment1 = 0;  // running mean of the gradient
  float moment2 = 0;  // running mean of its square
};

// The decay and the step are added up first, so that the master is rounded once per step.
[[gnu::always_inline]] STRATA_HD inline AdamwElement adamw_step(const AdamwElement& old, float grad,
                                                                const AdamwCoefficients& c) {
  const float g = grad * c.gradient_scale;
  const float moment1 = c.beta1 * old.moment1 + c.one_minus_beta1 * g;
  const float moment2 = c.beta2 * old.moment2 + c.one_minus_beta2 * (g * g);
  const float denominator = std::sqrt(moment2) * c.inverse_root_bias2 + c.eps;
  const float value = old.value - (c.decay * old.value + c.step_size * (moment1 / denominator));
  return {canonical_nan(value), canonical_nan(moment1), canonical_nan(moment2)};
}

}  // namespace strata
