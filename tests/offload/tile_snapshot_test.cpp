// SPDX-License-Identifier: Apache-2.0
// Snapshots: what they read never changes while training goes on, writers wait for slots they hold and no
// longer.
#include "offload/tile_snapshot.h"

#include <thread>

#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

bool snapshot_holds(TileSnapshot& snapshot, const StoredValue& stored, int64_t version) {
  const Memory memory(stored.bytes);
  snapshot.read(stored.value, 0, memory.span());
  return equal(memory.span(), pattern(stored.bytes, content_seed(stored, version)));
}

TEST(TileSnapshot, KeepsItsStepWhileTrainingGoesOn) {
  for (const Engine& engine : all_engines())
    for (const int slots : {1, 2}) {
      TileStoreOptions options = sample_options(drives(*engine.place.files, engine.place.folder, 2));
      options.engine = engine.kind;
      options.slots = slots;
      options.run = "run-" + std::to_string(slots);
      options.spare_bytes = 16 * kTile;
      const std::vector<StoredValue> values = sample_values();
      {
        const auto store = TileStore::open(*engine.place.files, options, values);
        run_step(*store, values, 0);
        store->commit(0);
        const auto snapshot = store->pin();
        EXPECT_EQ(snapshot->step(), 0);
        for (int64_t step = 1; step < 5; ++step) {
          run_step(*store, values, step);
          store->commit(step);
          for (const StoredValue& stored : values) {
            if (stored.lifetime == Lifetime::scratch) continue;
            EXPECT_TRUE(snapshot_holds(*snapshot, stored, 0)) << to_string(stored.value);
            EXPECT_TRUE(holds(*store, stored, stored.lifetime == Lifetime::fixed ? 0 : step))
                << to_string(stored.value);
          }
        }
        snapshot->release(values[0].value);
        EXPECT_THAT(message_of([&] { snapshot_holds(*snapshot, values[0], 0); }),
                    testing::HasSubstr("is not held"));
        EXPECT_THAT(message_of([&] { snapshot_holds(*snapshot, values[4], 0); }),
                    testing::HasSubstr("is not held"));
        EXPECT_TRUE(snapshot_holds(*snapshot, values[2], 0));
        EXPECT_EQ(store->back_pressure_s(), 0);
      }
      remove_store_files(*engine.place.files, options.folders, options.run, 0);
    }
}

// No spares: the second step after the pin has nowhere to write until the reader has let go.
TEST(TileSnapshot, WritersWaitForWhatItHolds) {
  const Place place = posix_place();
  const TileStoreOptions options = sample_options(drives(*place.files, place.folder, 2));
  const std::vector<StoredValue> values = sample_values();
  const auto store = TileStore::open(*place.files, options, values);
  run_step(*store, values, 0);
  store->commit(0);
  for (int64_t round = 0; round < 20; ++round) {
    const int64_t step = store->committed_step();
    std::atomic<bool> released = false;
    std::thread reader([&, snapshot = store->pin()]() mutable {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      for (const StoredValue& stored : values) {
        if (stored.lifetime == Lifetime::scratch) continue;
        EXPECT_TRUE(snapshot_holds(*snapshot, stored, stored.lifetime == Lifetime::fixed ? 0 : step));
        if (stored.value == values[2].value) released = true;
        snapshot->release(stored.value);
      }
      snapshot.reset();
    });
    put(*store, values[2], step + 1);
    store->commit(step + 1);
    put(*store, values[2], step + 2);
    EXPECT_TRUE(released);
    run_step(*store, values, step + 2);
    store->commit(step + 2);
    reader.join();
  }
  EXPECT_GT(store->back_pressure_s(), 0.01);
}

TEST(TileSnapshot, ContractsAreNamed) {
  const Place place = memory_place();
  TileStoreOptions options = sample_options(drives(*place.files, "/work", 1));
  const std::vector<StoredValue> values = sample_values();
  options.slots = 1;
  const auto store = TileStore::open(*place.files, options, values);
  EXPECT_THAT(message_of([&] { store->pin(); }), testing::HasSubstr("before the first commit"));
  run_step(*store, values, 0);
  store->commit(0);
  put(*store, values[0], 1);
  EXPECT_THAT(message_of([&] { store->pin(); }), testing::HasSubstr("after more was written"));
}

}  // namespace
}  // namespace strata
