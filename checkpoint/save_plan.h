// SPDX-License-Identifier: Apache-2.0
// Who writes what: every rectangle of every tensor is written by one of the ranks that hold it, so that all
// write about the same number of bytes. A pure function of what the ranks hold.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/logical.h"

namespace strata {

// A rectangle of a logical tensor in a rank's memory, as a plan sees it.
struct Held {
  TensorSpec tensor;
  Rect rect;
};

// What a rank holds, as bytes to send; and back. unpack throws Error(communication) on bytes that are none.
std::string pack_held(std::span<const Held> held);
std::vector<Held> unpack_held(std::string_view bytes);

struct SavePlan {
  static constexpr uint32_t kNoRectangle = UINT32_MAX;  // of an empty one
  struct Share {                                        // of one rank, by its items
    std::vector<char> writes;                           // 1: this rank writes the item
    std::vector<uint32_t> tensors;                      // the item's tensor
    std::vector<uint32_t> rectangle;  // the item's rectangle: equal for replicas on other ranks
  };
  std::vector<TensorSpec> tensors;  // in the order of their first appearance
  std::vector<Share> ranks;
  bool tiles = true;  // every element of every tensor lies in one distinct rectangle
};

// What a plan demands.
enum class Tiling : uint8_t { required, optional };

// `held` by rank. Throws Error(internal) when ranks describe a tensor differently and, where tiling is
// required, when rectangles of a tensor overlap without being equal, or do not cover it: such a save could
// not be loaded.
SavePlan plan_save(std::span<const std::vector<Held>> held, Tiling tiling = Tiling::required);

}  // namespace strata
