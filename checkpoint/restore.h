// SPDX-License-Identifier: Apache-2.0
// Loads a checkpoint into the memory of ranks that are laid out in any way: each rank reads the rectangles it
// holds, and a rectangle that several hold is read by one of them and sent to the others.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/match_tensors.h"
#include "checkpoint/peers.h"
#include "core/base/worker_pool.h"

namespace strata {

// A rectangle of a logical tensor and its place in this rank's memory, contiguous and row-major.
struct RestoreItem {
  TensorSpec tensor;
  Rect rect;
  std::byte* data = nullptr;
  int64_t group = 0;  // with RestoreGroups; the same on all ranks that hold the rectangle
};

// Memory for one group of items at a time, in ascending order.
struct RestoreGroups {
  std::function<std::byte*(size_t item)>
      memory;                                  // where the item's elements go, asked for when its group comes
  std::function<void(int64_t group)> arrived;  // all of the group's items are there; their memory may go
};

struct RestoreReport {
  TensorMatch match;             // by distinct wanted tensor, in the order of the items; on rank 0
  std::vector<char> kept;        // by item: nothing was read into its memory
  int64_t bytes_read = 0;        // by this rank, from disk
  int64_t bytes_received = 0;    // by this rank, from others
  int64_t digests_compared = 0;  // tensors proved equal to what was saved (on rank 0)
};

// Fills the items' memory. Collective; every rank throws when one fails, nothing is known about the memory
// then. Error(model) lists what is missing, extra or different, names a damaged block, or names a tensor
// whose parts, added over all ranks, do not have the digest it was saved with.
RestoreReport restore(const TensorSource& source, Peers& peers, std::span<const RestoreItem> items,
                      WorkerPool& pool, const RestoreRules& rules = {});
// The same for items whose memory comes and goes by group; a failure may come after groups have arrived.
RestoreReport restore(const TensorSource& source, Peers& peers, std::span<const RestoreItem> items,
                      WorkerPool& pool, const RestoreRules& rules, const RestoreGroups& groups);

}  // namespace strata
