// SPDX-License-Identifier: Apache-2.0
// The tile store on every file system and engine: what is written is read, versions, restarts, exact sizes,
// contracts.
#include "offload/tile_store.h"

#include <thread>

#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

struct Case {
  Engine engine;
  int paths, slots;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Engine& engine : all_engines())
    for (const int paths : {1, 2, 3})
      for (const int slots : {1, 2}) cases.push_back({engine, paths, slots});
  return cases;
}

std::string describe(const Case& c) {
  return c.engine.name + ", " + std::to_string(c.paths) + " paths, " + std::to_string(c.slots) + " slots";
}

TileStoreOptions options_for(const Case& c) {
  TileStoreOptions options = sample_options(drives(*c.engine.place.files, c.engine.place.folder, c.paths));
  options.run = "run-" + std::to_string(c.slots);  // cases share folders; each removes its files
  options.slots = c.slots;
  options.engine = c.engine.kind;
  return options;
}

TEST(TileStore, GivesBackTheNewestVersion) {
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(describe(c));
    FileSystem& files = *c.engine.place.files;
    const TileStoreOptions options = options_for(c);
    const std::vector<StoredValue> values = sample_values();
    {
      const auto store = TileStore::open(files, options, values);
      EXPECT_EQ(store->committed_step(), -1);
      for (int64_t step = 0; step < 4; ++step) {
        for (const StoredValue& stored : values) {
          if (stored.lifetime == Lifetime::fixed && step > 0) continue;
          put(*store, stored, step, step % 3);
          EXPECT_TRUE(holds(*store, stored, step, (step + 1) % 3)) << to_string(stored.value);
          put(*store, stored, 100 + step);  // again, before the commit
          EXPECT_TRUE(holds(*store, stored, 100 + step)) << to_string(stored.value);
        }
        store->commit(step);
        for (const StoredValue& stored : values)
          EXPECT_TRUE(holds(*store, stored, stored.lifetime == Lifetime::fixed ? 100 : 100 + step))
              << to_string(stored.value);
      }
    }
    EXPECT_EQ(remove_store_files(files, options.folders, "another", 0), 0);
    EXPECT_EQ(remove_store_files(files, options.folders, options.run, 0), c.paths + 1);
  }
}

TEST(TileStore, ARestartFindsTheLastCommit) {
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(describe(c));
    FileSystem& files = *c.engine.place.files;
    TileStoreOptions options = options_for(c);
    const std::vector<StoredValue> values = sample_values();
    for (int64_t step = 3; step < 6; ++step) {
      const auto store = TileStore::open(files, options, values);
      if (c.slots == 2 && step > 3) {
        EXPECT_EQ(store->committed_step(), step - 1);
        for (const StoredValue& stored : values) {
          if (stored.lifetime == Lifetime::scratch) continue;
          EXPECT_TRUE(holds(*store, stored, stored.lifetime == Lifetime::fixed ? 3 : step - 1))
              << to_string(stored.value);
        }
      } else {
        EXPECT_EQ(store->committed_step(), -1);
      }
      run_step(*store, values, step);
      store->commit(step);
      put(*store, values[0], 77);  // not committed
    }
    options.existing = ExistingFiles::discard;
    EXPECT_EQ(TileStore::open(files, options, values)->committed_step(), -1);
    EXPECT_EQ(remove_store_files(files, options.folders, options.run, 0), c.paths + 1);
  }
}

TEST(TileStore, TilesNotWrittenKeepTheirVersion) {
  const Place place = memory_place();
  const std::vector<StoredValue> values = sample_values();
  const auto store = TileStore::open(*place.files, sample_options(drives(*place.files, "/work", 2)), values);
  run_step(*store, values, 0);
  store->commit(0);
  const StoredValue& big = values[2];
  const Memory memory(kTile);
  fill(memory.span(), 5);
  store->wait(store->write(big.value, kTile, memory.span()));
  store->commit(1);
  const Memory whole(big.bytes);
  store->wait(store->read(big.value, 0, whole.span()));
  std::vector<std::byte> expected = pattern(big.bytes, content_seed(big, 0));
  std::copy(memory.span().begin(), memory.span().end(), expected.begin() + kTile);
  EXPECT_TRUE(equal(whole.span(), expected));
}

TEST(TileStore, DiskBytesAreThePlans) {
  for (const Place& place : all_places())
    for (const int slots : {1, 2})
      for (const int64_t spare : {int64_t{0}, 5 * kTile + 1}) {
        TileStoreOptions options = sample_options(drives(*place.files, place.folder, 3));
        options.slots = slots;
        options.spare_bytes = spare;
        options.speeds = {4.0, 2.0, 1.0};
        const StorePlan plan = plan_store(sample_values(), options);
        {
          const auto store = TileStore::open(*place.files, options, sample_values());
          run_step(*store, sample_values(), 0);
          store->commit(0);
        }
        int64_t bytes = 0;
        int num_files = 0;
        for (const std::string& folder : options.folders) {
          const auto names = place.files->list(folder);
          for (const std::string& name : *names) {
            bytes += place.files->info(folder + "/" + name)->bytes;
            ++num_files;
          }
        }
        EXPECT_EQ(bytes, plan.disk_bytes());
        EXPECT_EQ(num_files, 4);
        int64_t content = 0;
        for (const StoredValue& stored : sample_values())
          content += stored.bytes * (stored.lifetime == Lifetime::versioned ? slots : 1);
        const int64_t spares = spare == 0 ? 0 : 3 + 2 + 1;  // 5 and a bit tiles in shares of 4, 2 and 1
        EXPECT_EQ(plan.disk_bytes(), 3 * 4096 + content + spares * kTile + 2 * 5 * 4096);
        remove_store_files(*place.files, options.folders, options.run, 0);
      }
}

// One thread loads while another stores and commits, as the lanes of a program do.
TEST(TileStore, OneReaderAndOneWriterAtOnce) {
  for (const Engine& engine : all_engines()) {
    if (engine.name == "memory") continue;  // fault plans are not synchronised
    TileStoreOptions options = sample_options(drives(*engine.place.files, engine.place.folder, 2));
    options.engine = engine.kind;
    const std::vector<StoredValue> values = sample_values();
    const auto store = TileStore::open(*engine.place.files, options, values);
    run_step(*store, values, 0);
    store->commit(0);
    std::thread reader([&] {
      for (int round = 0; round < 200; ++round) EXPECT_TRUE(holds(*store, values[0], 0));
    });
    for (int64_t step = 1; step < 40; ++step) {
      put(*store, values[2], step);
      store->commit(step);
    }
    reader.join();
    EXPECT_TRUE(holds(*store, values[2], 39));
  }
}

TEST(TileStore, BrokenContractsAreNamed) {
  const Place place = memory_place();
  const std::vector<StoredValue> values = sample_values();
  const auto store = TileStore::open(*place.files, sample_options(drives(*place.files, "/work", 1)), values);
  const Memory memory(4 * kTile), skewed(kTile, 512);
  const Value big = values[2].value;
  const auto span = memory.span();
  EXPECT_THAT(message_of([&] { store->read(big, 0, span.first(kTile)); }),
              testing::HasSubstr("tile 0 of moments 2 tier=nvme is read before it was written"));
  EXPECT_THAT(message_of([&] { store->write(big, 4096, span.first(kTile)); }),
              testing::HasSubstr("no range of tiles"));
  EXPECT_THAT(message_of([&] { store->write(big, 0, span.first(4096)); }),
              testing::HasSubstr("no range of tiles"));
  EXPECT_THAT(message_of([&] { store->write(big, 0, span.first(4 * kTile)); }),
              testing::HasSubstr("no range of tiles"));
  EXPECT_THAT(message_of([&] { store->write(big, 0, skewed.span()); }),
              testing::HasSubstr("multiple of 4096"));
  EXPECT_THAT(message_of([&] { store->write(nvme(ValueClass::dx, 1), 0, span.first(kTile)); }),
              testing::HasSubstr("dx 1 tier=nvme is not kept here"));
  EXPECT_THAT(message_of([&] { store->commit(0); }),
              testing::HasSubstr("tile 0 of moments 0 tier=nvme was never written"));
  run_step(*store, values, 0);
  store->commit(3);
  EXPECT_THAT(message_of([&] { store->commit(3); }),
              testing::HasSubstr("commit of step 3 after that of step 3"));
  EXPECT_THAT(message_of([&] { put(*store, values[3], 1); }), testing::HasSubstr("is fixed and committed"));
  const auto ticket = store->write(big, 0, span.first(kTile));
  EXPECT_THAT(message_of([&] { store->commit(4); }), testing::HasSubstr("not waited for"));
  for (int version = 1; version < 20; ++version) put(*store, values[0], version);  // meanwhile it ends
  EXPECT_THAT(message_of([&] { store->commit(4); }), testing::HasSubstr("not waited for"));
  store->wait(ticket);
  EXPECT_THAT(message_of([&] { store->wait(ticket); }), testing::HasSubstr("no ticket"));
}

}  // namespace
}  // namespace strata
