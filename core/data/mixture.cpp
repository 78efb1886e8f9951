// SPDX-License-Identifier: Apache-2.0
#include "core/data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/data/permutation.h"

namespace strata {

Mixture::Mixture(std::span<const double> weights, uint64_t seed) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::pair<double, size_t>> missing;  // what rounding down took from a part, and which
  for (const double weight : weights) {
    const double exact = weight / sum * static_cast<double>(kRound);
    check(weight > 0 && exact >= 1, "[mixture] a weight of {} among {}", weight, sum);
    places_.push_back(static_cast<int64_t>(std::floor(exact)));
    missing.emplace_back(exact - std::floor(exact), missing.size());
  }
  // The first of equals is served first.
  std::stable_sort(missing.begin(), missing.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  const int64_t left = kRound - std::accumulate(places_.begin(), places_.end(), int64_t{0});
  for (int64_t i = 0; i < left; ++i) ++places_[missing[static_cast<size_t>(i) % missing.size()].second];

  std::vector<size_t> part_of;  // of the places in a row, before they are spread
  for (size_t part = 0; part < places_.size(); ++part)
    part_of.insert(part_of.end(), static_cast<size_t>(places_[part]), part);
  check(part_of.size() == kRound, "[mixture] {} places of {}", part_of.size(), kRound);
  const Permutation spread(kRound, hash_combine(seed, hash_name("data.mixture")), 0);
  std::vector<int64_t> next(places_.size());
  for (int64_t i = 0; i < kRound; ++i) {
    const size_t part = part_of[static_cast<size_t>(spread(i))];
    round_.push_back({part, next[part]++});
  }
}

Mixture::Place Mixture::at(int64_t row) const {
  check(row >= 0, "[mixture] row {}", row);
  const Place place = round_[static_cast<size_t>(row % kRound)];
  return {place.part, row / kRound * places_[place.part] + place.index};
}

double Mixture::share(size_t part) const {
  return static_cast<double>(places_[part]) / static_cast<double>(kRound);
}

}  // namespace strata
