// SPDX-License-Identifier: Apache-2.0
#include "core/program/lane.h"

#include <array>

namespace strata {

std::string_view name(Lane lane) {
  constexpr std::array<std::string_view, kNumLanes> names{"compute",   "communication", "h2d", "d2h",
                                                          "disk_read", "disk_write",    "host"};
  return names[static_cast<size_t>(lane)];
}

Lane default_lane(const Action& action) {
  switch (action.kind) {
    case Kind::gather:
    case Kind::send:
    case Kind::receive:
    case Kind::reduce:
    case Kind::complete:
    case Kind::tie:
    case Kind::total:
    case Kind::spread:
      return Lane::communication;
    case Kind::load:
      return action.tier == Tier::nvme ? Lane::disk_read : Lane::h2d;
    case Kind::store:
      return action.onto == Tier::nvme ? Lane::disk_write : Lane::d2h;
    case Kind::commit:
      return Lane::disk_write;
    default:
      return Lane::compute;
  }
}

Tier scratch_tier(Lane lane) { return overlaps(lane) || lane == Lane::host ? Tier::host : Tier::device; }

}  // namespace strata
