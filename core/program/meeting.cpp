// SPDX-License-Identifier: Apache-2.0
#include "core/program/meeting.h"

#include <algorithm>

namespace strata {
namespace {

uint64_t pack_key(Kind kind, uint64_t low, uint64_t high, uint64_t rest) {
  return static_cast<uint64_t>(kind) << 56 | (low & 0x3fff) << 42 | (high & 0x3fff) << 28 |
         (rest & 0xfffffff);
}

}  // namespace

std::optional<Meeting> meeting_of(const Action& action, int rank, int ranks, int twin) {
  const auto low = static_cast<uint64_t>(std::min<int>(rank, action.peer));
  const auto high = static_cast<uint64_t>(std::max<int>(rank, action.peer));
  switch (action.kind) {
    case Kind::send:
    case Kind::receive: {
      // x goes up the pipeline and dx down: which of the two ranks sends is part of the name.
      const bool upwards = (action.kind == Kind::send) == (action.peer >= rank);
      const uint64_t what = static_cast<uint64_t>(action.cls) << 1 | (upwards ? 1u : 0u);
      const uint64_t name = static_cast<uint64_t>(static_cast<uint16_t>(action.block) & 0xfff) << 14 |
                            (static_cast<uint16_t>(action.micro_batch) & 0x3fff);
      return Meeting{pack_key(Kind::send, low, high, what << 26 | name), 2};
    }
    case Kind::tie:
      if (action.peer < 0) return std::nullopt;
      return Meeting{pack_key(Kind::tie, low, high, static_cast<uint64_t>(std::min<int>(action.block, twin))),
                     2};
    case Kind::total:
      return Meeting{pack_key(Kind::total, 0, 0, 0), ranks};
    default:
      return std::nullopt;
  }
}

}  // namespace strata
