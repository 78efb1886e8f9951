// SPDX-License-Identifier: Apache-2.0
// The numbers behind a drawn curve: ticks, smoothing, thinning. No drawing here (see chart.h).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace strata {

struct CurvePoint {
  double x = 0;
  double y = 0;  // NaN: a gap

  friend bool operator==(const CurvePoint&, const CurvePoint&) = default;
};
using Curve = std::vector<CurvePoint>;  // x ascending

// Round numbers (1, 2 or 5 times a power of ten) whose first is <= low and whose last is >= high, in the
// finest step with at most `most` intervals (at least 2).
struct Ticks {
  double first = 0, step = 1;
  int count = 2;

  double at(int i) const { return first + i * step; }
  double last() const { return at(count - 1); }
};
Ticks nice_ticks(double low, double high, int most);

// The height above which values are lone far outliers: three times as far from the lowest as the 99th
// percentile. Infinity when there are none; non-finite values don't count.
double outlier_limit(std::vector<double> values);

// Each point becomes the mean of the finite points within `radius` places on both sides. At the beginning,
// where curves are steep, the window shrinks on both sides alike, so that it does not bend; at the end, where
// they are flat, only on the right, so that the last value is a mean as well. Gaps stay gaps; values above
// `limit` count as `limit`.
Curve smoothed(std::span<const CurvePoint> curve, size_t radius, double limit);

// At most about 2 * buckets points which draw the same picture: of each bucket its lowest and highest, so
// that no spike is lost.
Curve thinned(std::span<const CurvePoint> curve, size_t buckets);

}  // namespace strata
