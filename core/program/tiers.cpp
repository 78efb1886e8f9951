// SPDX-License-Identifier: Apache-2.0
#include "core/program/tiers.h"

#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

// The order in which blocks stay: those used at both ends of a step, then as the next step wants them.
std::vector<size_t> staying_order(size_t num_blocks) {
  std::vector<size_t> order{0};
  if (num_blocks > 1) order.push_back(num_blocks - 1);
  for (size_t b = 1; b + 1 < num_blocks; ++b) order.push_back(b);
  return order;
}

void settle_class(const TierHome& home, ValueClass cls, Tier BlockInfo::*field,
                  const std::function<int64_t(ValueClass, int)>& bytes, std::span<BlockInfo> blocks) {
  check(home.kept >= 0 && home.kept <= 1, "[tiers] {} of the {} kept: expected 0 to 1", home.kept, name(cls));
  double total = 0;
  for (size_t b = 0; b < blocks.size(); ++b) total += static_cast<double>(bytes(cls, static_cast<int>(b)));
  double room = home.kept * total;
  const Tier faster = home.tier == Tier::nvme ? Tier::host : Tier::device;
  for (const size_t b : staying_order(blocks.size())) {
    const auto size = static_cast<double>(bytes(cls, static_cast<int>(b)));
    const bool stays = size <= room;
    blocks[b].*field = size == 0 ? Tier::device : stays ? faster : home.tier;
    // What follows does not fill the gap that a large block leaves: the set must grow with the fraction.
    room = stays ? room - size : 0;
  }
}

}  // namespace

void settle(const TierOptions& options, const std::function<int64_t(ValueClass, int)>& bytes,
            std::span<BlockInfo> blocks) {
  settle_class(options.weights, ValueClass::weight, &BlockInfo::weight_home, bytes, blocks);
  settle_class(options.gradients, ValueClass::grad, &BlockInfo::grad_home, bytes, blocks);
  settle_class(options.master, ValueClass::master, &BlockInfo::master_home, bytes, blocks);
  settle_class(options.activations, ValueClass::x, &BlockInfo::x_home, bytes, blocks);
  settle_class(options.moments, ValueClass::moments, &BlockInfo::moments_home, bytes, blocks);
  for (BlockInfo& block : blocks)
    block.x_quantized = options.activation_format == ActivationFormat::fp8 && block.x_home != Tier::device;
}

}  // namespace strata
