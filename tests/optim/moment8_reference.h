// SPDX-License-Identifier: Apache-2.0
// The arrays of a state format in blocks, and its update one element after the other: the reference of every
// path.
#pragma once

#include <algorithm>
#include <random>
#include <span>
#include <vector>

#include "optim/state_split8.h"
#include "optim/state_sr8.h"

namespace strata::test {

struct BlockArrays {
  int64_t n;
  std::vector<bf16> weight;
  std::vector<int16_t> low;
  std::vector<uint8_t> code1, top1, code2, top2;

  // Weights and moments of any bits: zeros, NaN of either kind, the ends of each block's range.
  BlockArrays(int64_t count, std::mt19937& random) : n(count) {
    const auto blocks = static_cast<size_t>(div_up(n, kMomentBlock));
    for (int64_t i = 0; i < n; ++i) {
      uint32_t bits = static_cast<uint32_t>(random());
      if (random() % 8 != 0) bits = (bits & 0x83FFFFFFu) | 0x3C000000u;  // mostly ordinary numbers
      weight.push_back({static_cast<uint16_t>(bits >> 16)});
      low.push_back(static_cast<int16_t>(bits));
      code1.push_back(static_cast<uint8_t>(random()));
      code2.push_back(static_cast<uint8_t>(random()));
    }
    for (size_t b = 0; b < blocks; ++b) {
      top1.push_back(static_cast<uint8_t>(100 + random() % 30));
      top2.push_back(static_cast<uint8_t>(80 + random() % 40));
    }
  }
  Moments8 moments() { return {code1.data(), top1.data(), code2.data(), top2.data()}; }
  template <typename State>
  State state() {
    if constexpr (requires(State s) { s.master_low; })
      return {weight.data(), low.data(), moments()};
    else
      return {weight.data(), moments()};
  }
  std::string bits() const {
    std::string all(reinterpret_cast<const char*>(weight.data()), weight.size() * sizeof(bf16));
    all.append(reinterpret_cast<const char*>(low.data()), low.size() * sizeof(int16_t));
    for (const auto* bytes : {&code1, &top1, &code2, &top2}) all.append(bytes->begin(), bytes->end());
    return all;
  }
};

// Elements [begin, n), of which the first is element first_index + begin of its parameter. `seen` gets every
// step before it is rounded.
template <typename State>
void step_blocks(const State& state, std::span<const float> grad, int64_t begin, const AdamwCoefficients& c,
                 std::vector<AdamwElement>* seen = nullptr) {
  const auto n = static_cast<int64_t>(grad.size());
  for (int64_t first = begin; first < n; first += kMomentBlock) {
    const int64_t b = first / kMomentBlock, end = std::min<int64_t>(n, first + kMomentBlock);
    std::vector<AdamwElement> stepped;
    std::vector<uint32_t> random;
    float largest1 = 0, largest2 = 0;
    for (int64_t i = first; i < end; ++i) {
      const auto in_block = static_cast<int>(i - first);
      const uint64_t index = c.first_index + static_cast<uint64_t>(first);
      random.push_back(random_block(
          c.key, index / 4 + static_cast<uint64_t>(in_block % 32))[static_cast<size_t>(in_block / 32)]);
      stepped.push_back(
          adamw_step({state.value(i), moment8::decode1(state.moments.code1[i], state.moments.top1[b]),
                      moment8::decode2(state.moments.code2[i], state.moments.top2[b])},
                     grad[static_cast<size_t>(i)], c));
      state.keep(i, stepped.back().value, random.back());
      const auto finite = [](float x) { return std::isfinite(x) ? std::fabs(x) : 0.0f; };
      largest1 = std::max(largest1, finite(stepped.back().moment1));
      largest2 = std::max(largest2, finite(stepped.back().moment2));
    }
    state.moments.top1[b] = moment8::top1(std::bit_cast<uint32_t>(largest1));
    state.moments.top2[b] = moment8::top2(std::bit_cast<uint32_t>(largest2));
    for (int64_t i = first; i < end; ++i) {
      const auto at = static_cast<size_t>(i - first);
      state.moments.code1[i] = moment8::encode1(stepped[at].moment1, state.moments.top1[b], random[at] >> 16);
      state.moments.code2[i] =
          moment8::encode2(stepped[at].moment2, state.moments.top2[b], moment8::bits2(random[at]));
      if (seen) seen->push_back(stepped[at]);
    }
  }
}

}  // namespace strata::test
