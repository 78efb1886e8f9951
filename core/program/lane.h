// SPDX-License-Identifier: Apache-2.0
// Lanes: queues whose actions run one after another, or overlap, beside the other lanes. A derived label of
// an action.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "core/program/action.h"

namespace strata {

enum class Lane : uint8_t { compute, communication, h2d, d2h, disk_read, disk_write, host };
inline constexpr int kNumLanes = 7;

std::string_view name(Lane lane);

// A drive answers many requests at once: an action of such a lane begins as soon as its waits are over, while
// earlier ones of the lane are still at work. They end in the lane's order. On every other lane an action
// begins when the one before it has ended.
constexpr bool overlaps(Lane lane) { return lane == Lane::disk_read || lane == Lane::disk_write; }

// Where an action runs unless the caller of link() says otherwise.
Lane default_lane(const Action& action);
using LaneMap = std::function<Lane(const Action&)>;

// The tier that holds the working memory of a lane's actions: host for drives and the host's own, else
// device.
Tier scratch_tier(Lane lane);

}  // namespace strata
