// SPDX-License-Identifier: Apache-2.0
// The constants of Muon. Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks",
// 2024; the scale of the step: Liu et al., "Muon is scalable for LLM training", 2025 (arXiv 2502.16982),
// equation 4.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace strata::muon {

// Newton-Schulz iteration of five steps, X <- a X + (b A + c A A) X with A = X X^T: singular values up to 1
// come close to 1, which these coefficients do fastest, to about 0.7 to 1.2.
inline constexpr int kSteps = 5;
inline constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;
inline constexpr double kEps = 1e-7;  // added to the norm that X is divided by

// An orthogonal matrix of this shape has elements of root mean square 1 / sqrt(max(rows, columns)); times
// this they are 0.2, about AdamW's, so that both share one learning rate and weight decay.
inline double step_scale(int64_t rows, int64_t columns) {
  return 0.2 * std::sqrt(static_cast<double>(std::max(rows, columns)));
}

}  // namespace strata::muon
