// SPDX-License-Identifier: Apache-2.0
// Ranks of a killed run are a commit apart at most: one that came further goes back to the one before,
// durably, whatever instant of it a power cut takes; notes come back with their commits.
#include <gmock/gmock.h>

#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

void step(TileStore& store, int64_t number) {
  run_step(store, sample_values(), number);
  store.commit(number, "after " + std::to_string(number));
}

void expect_committed(TileStore& store, int64_t number) {
  EXPECT_EQ(store.committed_step(), number);
  EXPECT_EQ(store.committed_note(), "after " + std::to_string(number));
  for (const StoredValue& stored : sample_values())
    if (stored.lifetime != Lifetime::scratch) {
      EXPECT_TRUE(holds(store, stored, stored.lifetime == Lifetime::fixed ? 0 : number)) << number;
    }
}

TEST(GoBack, TheCommitBeforeIsWholeAndTheRunGoesOnFromIt) {
  MemoryFileSystem files;
  const TileStoreOptions options = sample_options(drives(files, "", 2));
  const auto open = [&] { return TileStore::open(files, options, sample_values()); };
  {
    const auto store = open();
    EXPECT_EQ(store->step_before(), -1);
    for (int64_t s = 0; s <= 3; ++s) step(*store, s);
  }
  {
    const auto store = open();
    expect_committed(*store, 3);
    EXPECT_EQ(store->step_before(), 2);
    store->go_back();
    expect_committed(*store, 2);
  }
  // Nothing else has happened: the newest is gone for good.
  {
    const auto store = open();
    expect_committed(*store, 2);
    EXPECT_EQ(store->step_before(), -1);
    EXPECT_THROW(store->go_back(), ContractError);
    step(*store, 3);
    step(*store, 4);
  }
  expect_committed(*open(), 4);
}

TEST(GoBack, APowerCutLeavesOneOfTheTwo) {
  int cuts = 0;
  for (uint64_t seed = 0; seed < 8; ++seed)
    for (int64_t at = 0;; ++at) {
      MemoryFileSystem files({.block_bytes = 64, .seed = seed});
      const TileStoreOptions options = sample_options(drives(files, "", 2));
      files.sync_directory("/");
      const auto open = [&] { return TileStore::open(files, options, sample_values()); };
      {
        const auto store = open();
        for (int64_t s = 0; s <= 3; ++s) step(*store, s);
      }
      bool crashed = false;
      {
        const auto store = open();
        files.inject({.kind = IoFault::Kind::crash, .at = at});
        try {
          store->go_back();
          run_step(*store, sample_values(), 7);  // over the slots of what was forgotten
        } catch (const IoError&) {
          crashed = true;
        }
      }
      if (!files.crashed()) files.crash();
      files.reboot();
      const auto store = open();
      ASSERT_THAT(store->committed_step(), testing::AnyOf(2, 3)) << "seed " << seed << ", call " << at;
      expect_committed(*store, store->committed_step());
      if (testing::Test::HasFailure()) return;
      if (!crashed) break;
      ++cuts;
    }
  EXPECT_GE(cuts, 8 * 10);
}

TEST(GoBack, ANoteHasItsLimit) {
  MemoryFileSystem files;
  const TileStoreOptions options = sample_options(drives(files, "", 1));
  const auto store = TileStore::open(files, options, sample_values());
  run_step(*store, sample_values(), 0);
  store->commit(0, std::string(SlotMapFile::kMostNote, 'x'));
  EXPECT_EQ(std::ssize(store->committed_note()), SlotMapFile::kMostNote);
  run_step(*store, sample_values(), 1);
  EXPECT_THROW(store->commit(1, std::string(SlotMapFile::kMostNote + 1, 'x')), ContractError);
}

}  // namespace
}  // namespace strata
