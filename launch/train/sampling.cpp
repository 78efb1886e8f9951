// SPDX-License-Identifier: Apache-2.0
#include "launch/train/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/philox.h"

namespace strata {

TokenSampler::TokenSampler(const SamplingOptions& options) : options_(options) {
  auto require = [](bool holds, const char* name, double found, const char* expected) {
    if (!holds)
      throw Error(Fault::usage, {.what = fmt::format("{} is out of range", name),
                                 .where = "command line",
                                 .found = fmt::format("{}", found),
                                 .expected = expected});
  };
  require(options.temperature >= 0 && std::isfinite(options.temperature), "--temperature",
          options.temperature, "0 or more");
  require(options.top_k >= 0, "--top-k", static_cast<double>(options.top_k), "0 (all) or more");
  require(options.top_p > 0 && options.top_p <= 1, "--top-p", options.top_p, "above 0 and at most 1");
}

int32_t TokenSampler::draw(std::span<const float> logits, int64_t index) {
  order_.resize(logits.size());
  std::iota(order_.begin(), order_.end(), 0);
  auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  if (options_.temperature == 0) return *std::min_element(order_.begin(), order_.end(), likelier);

  const auto kept =
      options_.top_k > 0 ? std::min(order_.size(), static_cast<size_t>(options_.top_k)) : order_.size();
  std::partial_sort(order_.begin(), order_.begin() + static_cast<int64_t>(kept), order_.end(), likelier);
  const double top = logits[static_cast<size_t>(order_[0])];
  weights_.clear();
  for (size_t i = 0; i < kept; ++i)
    weights_.push_back(
        std::exp((static_cast<double>(logits[static_cast<size_t>(order_[i])]) - top) / options_.temperature));
  // The nucleus is the shortest run of the likeliest tokens that reaches top_p.
  double total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  double reached = 0;
  size_t nucleus = 0;
  while (nucleus < kept && (nucleus == 0 || reached < options_.top_p * total)) reached += weights_[nucleus++];

  const RandomKey key{.seed = options_.seed, .stream = hash_name("sample")};
  double left = uniform_open(random_block(key, static_cast<uint64_t>(index))[0]) * reached;
  for (size_t i = 0; i < nucleus; ++i)
    if ((left -= weights_[i]) < 0) return order_[i];
  return order_[nucleus - 1];
}

}  // namespace strata
