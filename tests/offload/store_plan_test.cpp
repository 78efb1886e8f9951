// SPDX-License-Identifier: Apache-2.0
// The plan of a tile store: every byte of every file belongs to one slot, tiles are shared by weight, what
// matters changes the hash; and the slot table that lives by it.
#include "offload/store_plan.h"

#include <set>

#include "core/io/chance.h"
#include "offload/slot_table.h"
#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

TEST(StorePlan, SlotsFillTheFilesWithoutGapsOrOverlap) {
  for (const int slots : {1, 2})
    for (const std::vector<int>& weights : {std::vector{1}, {1, 1}, {5, 2, 1}}) {
      const StorePlan plan =
          plan_store(sample_values(),
                     {.slots = slots, .tile_bytes = kTile, .spare_bytes = 9 * kTile, .weights = weights});
      std::vector<int64_t> at(weights.size(), 4096);
      for (const StorePlan::Slot& slot : plan.slots) {
        EXPECT_EQ(slot.offset, at[slot.path]);
        EXPECT_EQ(slot.offset % kStoreAlignment, 0);
        at[slot.path] += slot.bytes;
      }
      EXPECT_EQ(at, plan.file_bytes);
      std::vector<int64_t> bytes(plan.values.size(), 0);
      for (const StorePlan::Tile& tile : plan.tiles) {
        EXPECT_EQ(tile.index * kTile, bytes[tile.value]);
        bytes[tile.value] += tile.bytes;
        EXPECT_EQ(tile.num_slots, plan.values[tile.value].lifetime == Lifetime::versioned ? slots : 1);
        for (int s = 0; s < tile.num_slots; ++s) EXPECT_EQ(plan.slots[tile.first_slot + s].bytes, tile.bytes);
      }
      for (size_t v = 0; v < bytes.size(); ++v) EXPECT_EQ(bytes[v], plan.values[v].bytes);
    }
}

TEST(StorePlan, EveryRunOfTilesIsSharedByWeight) {
  const std::vector<int> weights = {5, 2, 1};
  const StorePlan plan = plan_store({{nvme(ValueClass::moments, 0), 800 * kTile, Lifetime::versioned}},
                                    {.tile_bytes = kTile, .weights = weights});
  for (size_t begin = 0; begin + 80 <= plan.tiles.size(); begin += 13) {
    std::vector<int> count(3, 0);
    for (size_t t = begin; t < begin + 80; ++t) ++count[plan.tiles[t].path];
    for (int p = 0; p < 3; ++p) EXPECT_NEAR(count[p], 10 * weights[p], 1);
  }
}

TEST(StorePlan, SpeedsBecomeSmallWeights) {
  EXPECT_THAT(weights_of(std::vector{3.0, 3.1}), testing::ElementsAre(1, 1));
  EXPECT_THAT(weights_of(std::vector{6.0, 3.0, 3.0}), testing::ElementsAre(2, 1, 1));
  EXPECT_THAT(weights_of(std::vector{7.0, 0.01}), testing::ElementsAre(8, 1));
  EXPECT_THAT(weights_of(std::vector{0.0, 0.0}), testing::ElementsAre(1, 1));
  EXPECT_THAT(weights_of(std::vector{2.5}), testing::ElementsAre(1));
}

TEST(StorePlan, WhatDecidesTheMeaningOfBytesChangesTheHash) {
  const StoreShape shape{.tile_bytes = kTile, .weights = {1, 1}};
  std::set<uint64_t> hashes = {plan_store(sample_values(), shape).hash()};
  const auto differs = [&](std::vector<StoredValue> values, const StoreShape& changed) {
    EXPECT_TRUE(hashes.insert(plan_store(std::move(values), changed).hash()).second);
  };
  for (size_t field = 0; field < 5; ++field) {
    StoreShape changed = shape;
    if (field == 0) changed.slots = 1;
    if (field == 1) changed.tile_bytes = 2 * kTile;
    if (field == 2) changed.spare_bytes = 1;
    if (field == 3) changed.weights = {1, 2};
    if (field == 4) changed.weights = {1};
    differs(sample_values(), changed);
  }
  for (size_t field = 0; field < 5; ++field) {
    std::vector<StoredValue> values = sample_values();
    if (field == 0) values[0].bytes += kStoreAlignment;
    if (field == 1) values[0].lifetime = Lifetime::fixed;
    if (field == 2) values[0].value.level = 1;
    if (field == 3) std::swap(values[0], values[1]);
    if (field == 4) values.pop_back();
    differs(values, shape);
  }
}

TEST(StorePlan, BrokenContractsAreNamed) {
  const auto message = [](std::vector<StoredValue> values, const StoreShape& shape) {
    return message_of([&] { plan_store(std::move(values), shape); });
  };
  EXPECT_THAT(message({{nvme(ValueClass::moments, 0), 4095}}, {}), testing::HasSubstr("4095 bytes"));
  EXPECT_THAT(message({{nvme(ValueClass::moments, 0), 0}}, {}), testing::HasSubstr("0 bytes"));
  EXPECT_THAT(message({{nvme(ValueClass::moments, 0), 4096}, {nvme(ValueClass::moments, 0), 4096}}, {}),
              testing::HasSubstr("moments 0 tier=nvme is there twice"));
  EXPECT_THAT(message({}, {.slots = 3}), testing::HasSubstr("slots are 1 or 2, not 3"));
  EXPECT_THAT(message({}, {.tile_bytes = 5000}), testing::HasSubstr("5000"));
  EXPECT_THAT(message({}, {.weights = {}}), testing::HasSubstr("needs a path"));
  EXPECT_THAT(message({}, {.weights = {1, 0}}), testing::HasSubstr("not 0"));
}

// Random steps against a list of who counts on which slot.
TEST(SlotTable, NeverGivesASlotThatSomebodyCountsOn) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Chance chance(seed);
    const int slots = 1 + static_cast<int>(chance.below(2));
    const StorePlan plan = plan_store(
        sample_values(),
        {.slots = slots, .tile_bytes = kTile, .spare_bytes = chance.below(6) * kTile, .weights = {2, 1}});
    SlotTable table(plan, std::nullopt);
    const int64_t all = std::ssize(plan.slots);
    EXPECT_EQ(table.num_free(), all);
    std::vector<uint32_t> pinned;
    bool committed = false;
    std::vector<std::optional<uint32_t>> newest(plan.tiles.size()), of_commit(plan.tiles.size());
    int waits = 0;
    for (int step = 0; step < 300; ++step) {
      const int64_t t = chance.below(std::ssize(plan.tiles));
      const Lifetime lifetime = plan.values[plan.tiles[t].value].lifetime;
      if (!(lifetime == Lifetime::fixed && committed)) {
        const auto slot = table.slot_for_write(t);
        if (slot) {
          EXPECT_EQ(std::ranges::count(pinned, *slot), 0);
          for (size_t other = 0; other < newest.size(); ++other) {
            const bool counts_newest = other != static_cast<size_t>(t) && newest[other] == slot;
            const bool counts_commit =
                of_commit[other] == slot && (slots == 2 || other != static_cast<size_t>(t));
            EXPECT_FALSE(counts_newest || counts_commit) << seed << " " << step;
          }
          EXPECT_EQ(plan.slots[*slot].path, plan.tiles[t].path);
          EXPECT_GE(plan.slots[*slot].bytes, plan.tiles[t].bytes);
          newest[t] = slot;
          EXPECT_EQ(table.newest(t)->slot, *slot);
        } else {
          ++waits;
          EXPECT_FALSE(pinned.empty()) << "without snapshots there is always a slot";
        }
      }
      const bool all_written = std::ranges::all_of(newest, [](const auto& slot) { return slot.has_value(); });
      if (all_written && chance.below(8) == 0) {
        table.commit_newest();
        committed = true;
        for (size_t tile = 0; tile < newest.size(); ++tile)
          if (plan.values[plan.tiles[tile].value].lifetime != Lifetime::scratch)
            of_commit[tile] = newest[tile];
        if (chance.below(3) == 0)
          for (const auto& slot : of_commit)
            if (slot) table.pin(*slot), pinned.push_back(*slot);
      }
      if (!pinned.empty() && chance.below(2) == 0) {
        const auto which = pinned.begin() + chance.below(std::ssize(pinned));
        table.unpin(*which);
        pinned.erase(which);
      }
    }
    for (const uint32_t slot : pinned) table.unpin(slot);
    std::set<uint32_t> used;
    for (const auto& list : {newest, of_commit})
      for (const auto& slot : list)
        if (slot) used.insert(*slot);
    EXPECT_EQ(table.num_free(), all - std::ssize(used));
  }
}

}  // namespace
}  // namespace strata
