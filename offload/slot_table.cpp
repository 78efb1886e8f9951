// SPDX-License-Identifier: Apache-2.0
#include "offload/slot_table.h"

#include <utility>

#include "core/base/check.h"

namespace strata {

SlotTable::SlotTable(const StorePlan& plan, const std::optional<SlotMap>& committed)
    : plan_(plan),
      tiles_(plan.tiles.size()),
      users_(plan.slots.size(), 0),
      free_spares_(plan.file_bytes.size()) {
  if (committed) {
    size_t entry = 0;
    for (size_t t = 0; t < tiles_.size(); ++t) {
      if (plan.values[plan.tiles[t].value].lifetime == Lifetime::scratch) continue;
      const auto [slot, crc] = committed->entries[entry++];
      const StorePlan::Tile& tile = plan.tiles[t];
      check(slot < plan.slots.size() && users_[slot] == 0 && plan.slots[slot].path == tile.path &&
                plan.slots[slot].bytes >= tile.bytes,
            "[slot table] tile {} cannot lie in slot {}", t, slot);
      tiles_[t] = {{slot, crc}, {slot, crc}};
      users_[slot] = 2;
    }
  }
  for (size_t slot = plan.slots.size(); slot-- > 0;)  // the first one is taken first
    if (users_[slot] == 0) release(static_cast<uint32_t>(slot));
}

std::optional<SlotTable::Version> SlotTable::newest(int64_t tile) const {
  const Version& version = tiles_[tile].newest;
  return version.slot == kNone ? std::nullopt : std::optional(version);
}

std::optional<SlotTable::Version> SlotTable::committed(int64_t tile) const {
  const Version& version = tiles_[tile].committed;
  return version.slot == kNone ? std::nullopt : std::optional(version);
}

std::optional<uint32_t> SlotTable::slot_for_write(int64_t t) {
  const StorePlan::Tile& tile = plan_.tiles[t];
  TileState& state = tiles_[t];
  const Lifetime lifetime = plan_.values[tile.value].lifetime;
  const bool is_committed = state.newest.slot == state.committed.slot;
  if (state.newest.slot != kNone) {
    check(lifetime != Lifetime::fixed || !is_committed,
          "[tile store] {} is fixed and committed: it is not written again", plan_.values[tile.value].value);
    // With one slot a commit does not outlive the process: only snapshots count on the version.
    const int32_t counted = !is_committed ? 1 : plan_.shape.slots == 1 ? 2 : 0;
    if (users_[state.newest.slot] == counted) return state.newest.slot;
  }
  std::vector<uint32_t>* from = &free_[{tile.path, tile.bytes}];
  if (from->empty()) from = &free_spares_[tile.path];
  if (from->empty()) return std::nullopt;
  const uint32_t slot = from->back();
  from->pop_back();
  users_[slot] = 1;
  const uint32_t before = std::exchange(state.newest.slot, slot);
  if (before != kNone) release(before);
  return slot;
}

SlotMap SlotTable::map_of_newest(int64_t step) const {
  SlotMap map{.step = step};
  for (size_t t = 0; t < tiles_.size(); ++t) {
    const StoredValue& stored = plan_.values[plan_.tiles[t].value];
    if (stored.lifetime == Lifetime::scratch) continue;
    const Version& newest = tiles_[t].newest;
    check(newest.slot != kNone, "[tile store] a commit of step {}, but tile {} of {} was never written", step,
          plan_.tiles[t].index, stored.value);
    map.entries.push_back({newest.slot, newest.crc});
  }
  return map;
}

void SlotTable::commit_newest() {
  for (size_t t = 0; t < tiles_.size(); ++t) {
    TileState& tile = tiles_[t];
    if (plan_.values[plan_.tiles[t].value].lifetime == Lifetime::scratch) continue;
    if (tile.newest.slot != tile.committed.slot) {
      ++users_[tile.newest.slot];
      if (tile.committed.slot != kNone) release(tile.committed.slot);
    }
    tile.committed = tile.newest;
  }
}

int64_t SlotTable::num_free() const {
  int64_t count = 0;
  for (const auto& [size, slots] : free_) count += std::ssize(slots);
  for (const auto& slots : free_spares_) count += std::ssize(slots);
  return count;
}

void SlotTable::release(uint32_t slot) {
  if (users_[slot] > 0 && --users_[slot] > 0) return;
  const StorePlan::Slot& where = plan_.slots[slot];
  if (slot >= plan_.first_spare.front())
    free_spares_[where.path].push_back(slot);
  else
    free_[{where.path, where.bytes}].push_back(slot);
}

}  // namespace strata
