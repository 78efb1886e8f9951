// SPDX-License-Identifier: Apache-2.0
// Power cuts at every call of a run of the tile store, its making included: what a restart finds is one
// committed step, whole, never older than the last commit that returned; and the run goes on from it.
#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

using Survival = MemoryFileSystem::Survival;

// What survives is decided for pieces of this size: a map of some hundred bytes may be torn.
constexpr int64_t kTorn = 64;

// Versions of step s are s; fixed values are those of step 0.
void expect_step(TileStore& store, int64_t step) {
  for (const StoredValue& stored : sample_values())
    if (stored.lifetime != Lifetime::scratch) {
      ASSERT_TRUE(holds(store, stored, stored.lifetime == Lifetime::fixed ? 0 : step))
          << to_string(stored.value);
    }
}

void train(TileStore& store, int64_t until, int64_t* returned) {
  for (int64_t step = store.committed_step() + 1; step <= until; ++step) {
    run_step(store, sample_values(), step);
    store.commit(step);
    *returned = step;
  }
}

// Runs until a crash at call `at`; false when the run ended before it.
bool run_into_crash(Survival survival, uint64_t seed, int64_t at) {
  MemoryFileSystem files({.block_bytes = kTorn, .survival = survival, .seed = seed});
  const TileStoreOptions options = sample_options(drives(files, "", 2));
  files.sync_directory("/");
  files.inject({.kind = IoFault::Kind::crash, .at = at});
  int64_t returned = -1;
  bool crashed = false;
  try {
    const auto store = TileStore::open(files, options, sample_values());
    train(*store, 3, &returned);
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), kCrashed);
    crashed = true;
  }
  if (!files.crashed()) files.crash();
  files.reboot();
  {
    const auto store = TileStore::open(files, options, sample_values());
    const int64_t found = store->committed_step();
    EXPECT_GE(found, returned);
    EXPECT_LE(found, returned + 1);
    if (found >= 0) expect_step(*store, found);
    // What was not committed is overwritten by the steps that come again.
    train(*store, 4, &returned);
    expect_step(*store, 4);
  }
  const auto store = TileStore::open(files, options, sample_values());
  EXPECT_EQ(store->committed_step(), 4);
  expect_step(*store, 4);
  return crashed;
}

TEST(TileStoreCrash, EveryCallLeavesOneCommittedStepWhole) {
  int crashes = 0;
  for (const Survival survival : {Survival::none, Survival::all, Survival::by_seed})
    for (uint64_t seed = 0; seed < (survival == Survival::by_seed ? 12 : 2); ++seed)
      for (int64_t at = 0;; ++at) {
        SCOPED_TRACE("survival " + std::to_string(static_cast<int>(survival)) + ", seed " +
                     std::to_string(seed) + ", call " + std::to_string(at));
        if (!run_into_crash(survival, seed, at)) break;
        if (testing::Test::HasFailure()) return;
        ++crashes;
      }
  EXPECT_GT(crashes, 16 * 80);
}

// While a snapshot holds the step before and more commits follow, what a crash leaves is the last commit;
// what the snapshot reads never changes.
TEST(TileStoreCrash, WithASnapshotHeld) {
  int crashes = 0;
  for (uint64_t seed = 0; seed < 6; ++seed)
    for (int64_t at = 0;; ++at) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", call " + std::to_string(at));
      MemoryFileSystem files({.block_bytes = kTorn, .seed = seed});
      TileStoreOptions options = sample_options(drives(files, "", 2));
      options.spare_bytes = 16 * kTile;
      files.sync_directory("/");
      int64_t returned = -1;
      bool crashed = false;
      {
        const auto store = TileStore::open(files, options, sample_values());
        train(*store, 0, &returned);
        const auto snapshot = store->pin();
        files.inject({.kind = IoFault::Kind::crash, .at = at});
        try {
          train(*store, 2, &returned);
          for (const StoredValue& stored : sample_values()) {
            if (stored.lifetime == Lifetime::scratch) continue;
            const Memory memory(stored.bytes);
            snapshot->read(stored.value, 0, memory.span());
            EXPECT_TRUE(equal(memory.span(), pattern(stored.bytes, content_seed(stored, 0))));
            snapshot->release(stored.value);
          }
          train(*store, 3, &returned);
        } catch (const IoError& error) {
          EXPECT_EQ(error.code(), kCrashed);
          crashed = true;
        }
      }
      if (!files.crashed()) files.crash();
      files.reboot();
      const auto store = TileStore::open(files, options, sample_values());
      EXPECT_GE(store->committed_step(), returned);
      EXPECT_LE(store->committed_step(), returned + 1);
      expect_step(*store, store->committed_step());
      if (!crashed) break;
      ++crashes;
    }
  EXPECT_GT(crashes, 6 * 40);
}

// Files of another plan are emptied. Wherever it stops, they are still those of the old plan, or hold
// nothing.
TEST(TileStoreCrash, WhileTheFilesAreMadeAnew) {
  int crashes = 0, old_plan = 0, empty = 0;
  for (uint64_t seed = 0; seed < 8; ++seed)
    for (int64_t at = 0;; ++at) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", call " + std::to_string(at));
      MemoryFileSystem files({.block_bytes = kTorn, .seed = seed});
      const TileStoreOptions options = sample_options(drives(files, "", 2));
      files.sync_directory("/");
      int64_t returned = -1;
      train(*TileStore::open(files, options, sample_values()), 1, &returned);
      std::vector<StoredValue> values = sample_values();
      values[seed % 2 == 0 ? 0 : 2].bytes +=
          seed == 0 ? 520 * kTile : kTile;  // once also a map of another size
      files.inject({.kind = IoFault::Kind::crash, .at = at});
      TileStoreOptions anew = options;
      anew.existing = ExistingFiles::discard;
      bool crashed = false;
      try {
        TileStore::open(files, anew, values);
      } catch (const IoError& error) {
        EXPECT_EQ(error.code(), kCrashed);
        crashed = true;
      }
      if (!files.crashed()) files.crash();
      files.reboot();
      try {
        EXPECT_EQ(TileStore::open(files, options, values)->committed_step(), -1);
        ++empty;
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("another layout"));
        const auto store = TileStore::open(files, options, sample_values());
        EXPECT_EQ(store->committed_step(), 1);
        expect_step(*store, 1);
        ++old_plan;
      }
      if (!crashed) break;
      ++crashes;
    }
  EXPECT_GT(crashes, 100);
  EXPECT_GT(old_plan, 0);
  EXPECT_GT(empty, 0);
}

}  // namespace
}  // namespace strata
