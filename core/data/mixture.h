// SPDX-License-Identifier: Apache-2.0
// Which of several data sets a row of training is taken from, so that each has its share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace strata {

// Rows are dealt in rounds of kRound. Of every round each part has the same number of places, its weight's
// share rounded to whole places by the largest remainder (Hamilton's method), spread by a permutation made of
// the seed. So shares are exact over a round and near it within one, and any row is found in constant time
// without knowing those before it. A part's rows come in their order.
class Mixture {
 public:
  static constexpr int64_t kRound = 4096;

  // Weights above 0, of which each has a share of at least 1 / kRound.
  Mixture(std::span<const double> weights, uint64_t seed);

  struct Place {
    size_t part = 0;
    int64_t index = 0;  // among the part's rows: 0, 1, 2, ... along the run
  };
  Place at(int64_t row) const;
  double share(size_t part) const;  // of all rows, as rounded

 private:
  std::vector<int64_t> places_;  // in a round, of each part
  std::vector<Place> round_;     // the first
};

}  // namespace strata
