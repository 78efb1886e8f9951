// SPDX-License-Identifier: Apache-2.0
// AdamW in double, written from the paper (Loshchilov and Hutter 2019, algorithm 2) and not from optim/: the
// oracle.
#pragma once

#include <cmath>

namespace strata::test {

struct ReferenceAdamw {
  double lr, beta1, beta2, eps, weight_decay;
  double value, moment1 = 0, moment2 = 0;
  int step = 0;

  void update(double gradient) {
    ++step;
    moment1 = beta1 * moment1 + (1 - beta1) * gradient;
    moment2 = beta2 * moment2 + (1 - beta2) * gradient * gradient;
    const double unbiased1 = moment1 / (1 - std::pow(beta1, step));
    const double unbiased2 = moment2 / (1 - std::pow(beta2, step));
    value = value - lr * weight_decay * value - lr * unbiased1 / (std::sqrt(unbiased2) + eps);
  }
};

// Bounds for f32 state against exact arithmetic after t steps. `u` is half an ulp of 1.
//   value: each step rounds the master once, u |w|, and computes an update of at most `largest_step` with
//   about 20
//          roundings (coefficients, moments, root, quotient), each u relative to the largest step.
//   moments: about 5 roundings per step relative to the largest term, older ones fading by beta: 5 u / (1 -
//   beta).
constexpr double kHalfUlp = 0x1p-24;
inline double value_bound(int t, double largest_value, double largest_step) {
  return t * kHalfUlp * (largest_value + 20 * largest_step);
}
inline double moment_bound(double beta, double largest_term) {
  return 5 * kHalfUlp / (1 - beta) * largest_term;
}

}  // namespace strata::test
