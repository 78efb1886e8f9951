// SPDX-License-Identifier: Apache-2.0
// Lanes: queues whose actions run one after another, beside the other lanes. A derived label of an action.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "core/program/action.h"

namespace strata {

enum class Lane : uint8_t { compute, communication, h2d, d2h, disk_read, disk_write, host };
inline constexpr int kNumLanes = 7;

std::string_view name(Lane lane);

// Where an action runs unless the caller of link() says otherwise.
Lane default_lane(const Action& action);
using LaneMap = std::function<Lane(const Action&)>;

// The tier that holds the working memory of a lane's actions: device for compute and communication, else
// host.
Tier scratch_tier(Lane lane);

}  // namespace strata
