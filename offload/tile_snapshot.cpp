// SPDX-License-Identifier: Apache-2.0
#include "offload/tile_snapshot.h"

#include <utility>

#include "core/base/check.h"

namespace strata {

TileSnapshot::TileSnapshot(TileStore& store, int64_t step, std::vector<SlotTable::Version> versions)
    : store_(store),
      step_(step),
      versions_(std::move(versions)),
      lane_(store.make_lane(store.options_.snapshot_credits)) {}

TileSnapshot::~TileSnapshot() {
  lane_.reset();
  release_tiles(0, std::ssize(versions_));
}

int64_t TileSnapshot::bytes(const Value& value) const {
  return store_.plan().values[static_cast<size_t>(store_.plan().find(value))].bytes;
}

void TileSnapshot::read(const Value& value, int64_t offset, std::span<std::byte> into) {
  const auto [begin, end] = store_.tiles_of(value, offset, into);
  const uint64_t ticket = lane_->open_ticket();
  for (int64_t t = begin; t < end; ++t) {
    check(versions_[t].slot != SlotTable::kNone, "[tile snapshot] {} is not held", value);
    const auto at = static_cast<size_t>((t - begin) * store_.tile_bytes());
    const auto bytes = static_cast<size_t>(store_.plan().tiles[t].bytes);
    lane_->begin(ticket, store_.transfer(IoRequest::Op::read, t, versions_[t], into.subspan(at, bytes)));
  }
  lane_->wait(ticket);
}

void TileSnapshot::release(const Value& value) {
  const int32_t v = store_.plan().find(value);
  release_tiles(store_.plan().first_tile[v], store_.plan().first_tile[v + 1]);
}

void TileSnapshot::release_tiles(int64_t begin, int64_t end) {
  {
    const std::lock_guard lock(store_.mutex_);
    for (int64_t t = begin; t < end; ++t) {
      const uint32_t slot = std::exchange(versions_[t].slot, SlotTable::kNone);
      if (slot == SlotTable::kNone) continue;
      store_.slots_->unpin(slot);
      --store_.num_pinned_;
    }
  }
  store_.slot_freed_.notify_all();
}

}  // namespace strata
