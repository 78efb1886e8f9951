// SPDX-License-Identifier: Apache-2.0
// What a tile store will put where, worked out before a byte is written: values cut into tiles, tiles dealt
// to paths by weight, slots for their versions. A pure function of its arguments; `strata plan` prints it,
// TileStore obeys it, and the files on disk have exactly these sizes.
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/program/backing_store.h"

namespace strata {

struct StoreShape {
  int slots = 2;  // of a versioned tile: 2 survives a crash; 1 halves the space, a restart needs a checkpoint
  int64_t tile_bytes = int64_t{1} << 20;  // multiple of kStoreAlignment
  // For the versions that snapshots pin while training goes on; rounded up to whole tiles on every path.
  int64_t spare_bytes = 0;
  std::vector<int> weights = {1};  // of each path: the share of tiles it gets, as its speed

  friend bool operator==(const StoreShape&, const StoreShape&) = default;
};

struct StorePlan {
  struct Tile {
    int32_t value = 0;  // index into `values`
    int32_t index = 0;  // within the value
    int32_t path = 0;
    int64_t bytes = 0;
    int64_t first_slot =
        0;  // its own slots follow each other; which tile of its size and path uses them may change
    int32_t num_slots = 0;
  };
  struct Slot {
    int32_t path = 0;
    int64_t offset = 0;  // in the tile file of that path, after its header
    int64_t bytes = 0;
  };

  StoreShape shape;
  std::vector<StoredValue> values;
  std::vector<Tile> tiles;          // value by value
  std::vector<int64_t> first_tile;  // of each value, and one past the last
  std::vector<Slot> slots;
  std::vector<int64_t>
      first_spare;  // of each path; spares are the last slots, path by path, and one past the last
  std::vector<int64_t> file_bytes;  // of each path's tile file, header included
  int64_t map_bytes = 0;            // of the slot map, on the first path
  std::unordered_map<uint64_t, int32_t> value_of_key;

  int num_paths() const { return static_cast<int>(file_bytes.size()); }
  int64_t disk_bytes() const;  // of all files
  // Of everything that decides what the bytes on disk mean.
  uint64_t hash() const;
  // Index of a value; ContractError when the store does not keep it.
  int32_t find(const Value& value) const;
};

// ContractError: sizes that are not multiples of kStoreAlignment, a value twice, no path, a weight below 1.
StorePlan plan_store(std::vector<StoredValue> values, const StoreShape& shape);

// Speeds (any unit) as small whole weights, the slowest usable path at least 1: equal speeds give equal
// weights, and noise of a few percent none.
std::vector<int> weights_of(std::span<const double> speeds);

}  // namespace strata
