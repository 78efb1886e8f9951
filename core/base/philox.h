// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// A number depends only on (key, counter), so initial weights, sampling order and stochastic rounding do not depend
// on the layout, the thread count or what was drawn before.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/host_device.h"

namespace strata {

using PhiloxBlock = std::array<uint32_t, 4>;

// Four independent 32-bit numbers for one counter.
STRATA_HD constexpr PhiloxBlock philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  constexpr uint32_t kMul0 = 0xD2511F53u, kMul1 = 0xCD9E8D57u, kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{kMul0} * counter[0];
    const uint64_t p1 = uint64_t{kMul1} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// Names one stream of numbers. `seed` is the run's, `stream` says what the numbers are for (a hashed tensor name, a
// purpose), `step` the optimizer step (0 for initial values).
struct RandomKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
  uint32_t step = 0;
};

// The block of numbers of global element group `index` (four numbers each) in a stream.
STRATA_HD constexpr PhiloxBlock random_block(const RandomKey& key, uint64_t index) {
  // The stream's high half enters the key, its low half the counter: both are mixed by all ten rounds.
  return philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), key.step,
                     static_cast<uint32_t>(key.stream)},
                    {static_cast<uint32_t>(key.seed) ^ static_cast<uint32_t>(key.stream >> 32),
                     static_cast<uint32_t>(key.seed >> 32)});
}

// Uniform in (0, 1): never 0, never 1, 23 bits (with 24, the largest would round to 1).
STRATA_HD constexpr float uniform_open(uint32_t bits) {
  return (static_cast<float>(bits >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

}  // namespace strata
