// SPDX-License-Identifier: Apache-2.0
#include "optim/clip.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace strata {

Clip clip_by_norm(const BinnedSum& squares, double max_norm, double stored_scale) {
  check(max_norm >= 0, "[clip] the largest norm is {}, expected 0 (off) or more", max_norm);
  check(std::isfinite(stored_scale) && stored_scale > 0, "[clip] the scale of stored gradients is {}",
        stored_scale);
  const double norm = stored_scale * std::sqrt(squares.value());
  if (squares.non_finite != 0 || !std::isfinite(norm))
    return {.norm = std::numeric_limits<double>::quiet_NaN(), .gradient_scale = 0, .finite = false};
  const double coefficient = max_norm == 0 ? 1.0 : std::min(1.0, max_norm / (norm + 1e-6));
  return {.norm = norm, .gradient_scale = static_cast<float>(stored_scale * coefficient), .finite = true};
}

}  // namespace strata
