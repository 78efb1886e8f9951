// SPDX-License-Identifier: Apache-2.0
// Where a run wants the values that outlive a step, or wait in it, to live, and how they travel to the device
// and back. The homes themselves are properties of blocks (BlockInfo), as the levels of a partition are:
// tier_pass derives the moves from them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/program/block_info.h"

namespace strata {

// Of one class of values: its home, but for a fixed part that stays on the next faster tier. A fixed part,
// because access is cyclic: whatever was used last is what is wanted last.
struct TierHome {
  Tier tier = Tier::device;
  double kept = 0;  // of the class's bytes, at most, in whole blocks: the embedding, the head, the first ones

  friend bool operator==(const TierHome&, const TierHome&) = default;
};

// What boundary activations are away from the device: their values, or E4M3 codes with a factor for 128
// elements of a row, half the bytes. What comes back to a block then reads rounded values; its forward does
// not.
enum class ActivationFormat : uint8_t { values, fp8 };

struct TierOptions {
  TierHome weights;
  TierHome gradients;  // sums over micro-batches, between their additions and until the update
  TierHome master, moments;
  TierHome activations;  // what travels between blocks, between its forward and its backward use
  ActivationFormat activation_format = ActivationFormat::values;
  int prefetch = 2;  // a value is loaded this many uses of others ahead of its own, for each hop
  bool through_host =
      false;  // nvme and device meet in host memory: two hops. A CPU reads to where it computes

  bool offloads() const {
    return weights.tier != Tier::device || gradients.tier != Tier::device || master.tier != Tier::device ||
           moments.tier != Tier::device || activations.tier != Tier::device;
  }
};

// Writes the homes into the blocks. `bytes` gives the size of a block's values of a class.
void settle(const TierOptions& options, const std::function<int64_t(ValueClass, int block)>& bytes,
            std::span<BlockInfo> blocks);

}  // namespace strata
