// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/curve.h"

#include <algorithm>
#include <cmath>

namespace strata {

Ticks nice_ticks(double low, double high, int most) {
  most = std::max(most, 2);
  // A constant, or one but for its last bits, gets an axis around it.
  if (!(high - low > 1e-9 * std::max(std::abs(low), std::abs(high)))) {
    const double room = low != 0 ? std::abs(low) * 0.05 : 1;
    low -= room;
    high += room;
  }
  double decade = std::pow(10.0, std::floor(std::log10((high - low) / most)));
  for (;; decade *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double step = factor * decade;
      // A bound that is on a tick but for its last bits is on the tick.
      const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
      if (last - first <= most) return {first * step, step, static_cast<int>(last - first) + 1};
    }
  }
}

double outlier_limit(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return HUGE_VAL;
  const size_t rank = (values.size() - 1) * 99 / 100;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(rank), values.end());
  const double usual = values[rank];
  const double lowest = *std::min_element(values.begin(), values.end());
  const double limit = lowest + 3 * (usual - lowest);
  const bool any =
      usual > lowest && std::any_of(values.begin(), values.end(), [&](double v) { return v > limit; });
  return any ? limit : HUGE_VAL;
}

Curve smoothed(std::span<const CurvePoint> curve, size_t radius, double limit) {
  std::vector<double> sum(curve.size() + 1), count(curve.size() + 1);
  for (size_t i = 0; i < curve.size(); ++i) {
    const bool finite = std::isfinite(curve[i].y);
    sum[i + 1] = sum[i] + (finite ? std::min(curve[i].y, limit) : 0);
    count[i + 1] = count[i] + (finite ? 1 : 0);
  }
  Curve result(curve.begin(), curve.end());
  for (size_t i = 0; i < curve.size(); ++i) {
    if (!std::isfinite(curve[i].y)) continue;
    const size_t begin = i - std::min(radius, i);
    const size_t end = i + std::min({radius, i, curve.size() - 1 - i}) + 1;
    result[i].y = (sum[end] - sum[begin]) / (count[end] - count[begin]);
  }
  return result;
}

Curve thinned(std::span<const CurvePoint> curve, size_t buckets) {
  if (curve.size() <= 2 * buckets) return {curve.begin(), curve.end()};
  Curve result;
  for (size_t b = 0; b < buckets; ++b) {
    const size_t begin = b * curve.size() / buckets, end = (b + 1) * curve.size() / buckets;
    size_t low = end, high = end;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(curve[i].y)) continue;
      if (low == end || curve[i].y < curve[low].y) low = i;
      if (high == end || curve[i].y > curve[high].y) high = i;
    }
    if (low == end) {
      result.push_back(curve[begin]);  // a gap
      continue;
    }
    result.push_back(curve[std::min(low, high)]);
    if (low != high) result.push_back(curve[std::max(low, high)]);
  }
  return result;
}

}  // namespace strata
