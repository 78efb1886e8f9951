// SPDX-License-Identifier: Apache-2.0
// One committed step of a tile store, held while training goes on: a checkpoint reads it in the background.
// Its slots are not written to until they are released, value by value or with the snapshot; writers may be
// waiting for them.
#pragma once

#include <memory>

#include "offload/tile_store.h"

namespace strata {

class TileSnapshot {
 public:
  ~TileSnapshot();  // releases all
  TileSnapshot(const TileSnapshot&) = delete;
  TileSnapshot& operator=(const TileSnapshot&) = delete;

  int64_t step() const { return step_; }
  int64_t bytes(const Value& value) const;  // of a value of the store
  // A range as BackingStore::read takes it; blocks until it is there. Called by one thread at a time. Throws
  // what BackingStore::wait throws. ContractError for a value that was released.
  void read(const Value& value, int64_t offset, std::span<std::byte> into);
  // This value's slots may be written to again.
  void release(const Value& value);

 private:
  friend class TileStore;
  TileSnapshot(TileStore& store, int64_t step, std::vector<SlotTable::Version> versions);
  void release_tiles(int64_t begin, int64_t end);

  TileStore& store_;
  int64_t step_;
  std::vector<SlotTable::Version> versions_;  // of each tile; no slot once released, or of scratch
  std::unique_ptr<TransferLane> lane_;
};

}  // namespace strata
