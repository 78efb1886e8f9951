// SPDX-License-Identifier: Apache-2.0
// Which slot holds which version of every tile while a run goes on, and which slots are free. A slot is in
// use as long as somebody counts on it: the newest version, the committed one, snapshots. Not synchronised.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "offload/slot_map.h"
#include "offload/store_plan.h"

namespace strata {

class SlotTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Version {
    uint32_t slot = kNone;
    uint32_t crc = 0;
  };

  // As of a commit, or with nothing written.
  SlotTable(const StorePlan& plan, const std::optional<SlotMap>& committed);

  // Nothing when the tile was never written.
  std::optional<Version> newest(int64_t tile) const;
  std::optional<Version> committed(int64_t tile) const;

  // Where to write the tile next: in place where no version would be lost by it, else a free slot of its
  // size, else a spare, which then is the tile's newest version. Nothing: none is free until a snapshot lets
  // one go.
  std::optional<uint32_t> slot_for_write(int64_t tile);
  void set_crc(int64_t tile, uint32_t crc) { tiles_[tile].newest.crc = crc; }

  // The map that a commit would write; ContractError when a tile was never written.
  SlotMap map_of_newest(int64_t step) const;
  // The newest versions become the committed ones; slots of those before are free, but for those pinned.
  void commit_newest();

  void pin(uint32_t slot) { ++users_[slot]; }
  void unpin(uint32_t slot) { release(slot); }
  int64_t num_free() const;

 private:
  struct TileState {
    Version newest, committed;
  };
  void release(uint32_t slot);
  using SizeClass = std::pair<int32_t, int64_t>;  // path, bytes

  const StorePlan& plan_;
  std::vector<TileState> tiles_;
  std::vector<int32_t> users_;  // of each slot
  std::map<SizeClass, std::vector<uint32_t>> free_;
  std::vector<std::vector<uint32_t>> free_spares_;  // of each path
};

}  // namespace strata
