// SPDX-License-Identifier: Apache-2.0
// State that lies elsewhere: saved by being asked for in the background, loaded group by group, with as
// little memory as one piece or group takes, and with the same checkpoint as ever.
#include <gmock/gmock.h>

#include <atomic>
#include <set>

#include "checkpoint/restore.h"
#include "core/base/worker_pool.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/save_job.h"

namespace strata {
namespace {

// Every second item is read later, from a state that stays as it is.
std::vector<SaveItem> half_late(std::shared_ptr<RankState> state, std::atomic<int>& reads) {
  std::vector<SaveItem> items = state->items();
  for (size_t i = 0; i < items.size(); i += 2) {
    const std::byte* const from = items[i].data;
    items[i].data = nullptr;
    items[i].read = [state, from, &reads](std::span<std::byte> into) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(into.data()) % 4096, 0u);
      if (!into.empty()) std::memcpy(into.data(), from, into.size());
      ++reads;
    };
  }
  return items;
}

TEST(LateItems, SaveWhatIsReadAfterBegin) {
  for (const int ranks : {1, 3}) {
    MemoryFileSystem files;
    make_directories(files, kRun);
    run_peers(ranks, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      std::atomic<int> reads{0};
      auto state = std::make_shared<RankState>(peers.rank(), ranks, 5);
      const std::weak_ptr<RankState> held = state;
      SaveRequest request{.step = 5, .meta = {{"step", 5}}, .items = half_late(state, reads)};
      // What is not late is copied by begin(), and what is late is somebody else's memory by then.
      const auto late = std::make_shared<RankState>(peers.rank(), ranks, 5);
      for (size_t i = 1; i < request.items.size(); i += 2) request.items[i].data = late->items()[i].data;
      const SaveResult begun = saver.begin(std::move(request));
      ASSERT_EQ(begun.state, SaveResult::State::writing);
      for (size_t i = 1; i < late->items().size(); i += 2)
        std::fill(late->bytes(i).begin(), late->bytes(i).end(), std::byte{0xEE});
      state = nullptr;
      // Nothing is held once the background is done, whether or not anybody asks.
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!held.expired() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
      EXPECT_TRUE(held.expired());
      EXPECT_EQ(saver.finish().state, SaveResult::State::committed);
      EXPECT_GT(reads, 0);
    });
    expect_step(files, step_folder(kRun, 5), ranks, 5);
  }
}

TEST(LateItems, AReadThatFailsIsAFailedSaveAndLetsGo) {
  MemoryFileSystem files;
  make_directories(files, kRun);
  run_peers(2, [&](Peers& peers) {
    Saver saver(files, peers, test_options());
    std::atomic<int> reads{0};
    auto state = std::make_shared<RankState>(peers.rank(), 2, 5);
    const std::weak_ptr<RankState> held = state;
    std::vector<SaveItem> items = half_late(state, reads);
    if (peers.rank() == 1)
      items[0].read = [state](std::span<std::byte>) { throw std::runtime_error("the drive is on fire"); };
    state = nullptr;
    SaveRequest request{.step = 5, .meta = {{"step", 5}}, .items = std::move(items)};
    ASSERT_EQ(saver.begin(std::move(request)).state, SaveResult::State::writing);
    const SaveResult result = saver.finish();
    EXPECT_EQ(result.state, SaveResult::State::failed);
    EXPECT_THAT(result.message, testing::HasSubstr("the drive is on fire"));
    EXPECT_TRUE(held.expired());
    EXPECT_EQ(save_step(saver, peers, 6).state, SaveResult::State::committed) << "the next one is not hurt";
  });
  EXPECT_FALSE(files.info(step_folder(kRun, 5)).has_value());
  expect_step(files, step_folder(kRun, 6), 2, 6);
}

TEST(LateItems, GroupsAreLoadedOneAfterTheOther) {
  for (const int ranks : {1, 3}) {
    MemoryFileSystem files;
    make_directories(files, kRun);
    run_peers(ranks, [&](Peers& peers) {
      Saver saver(files, peers, test_options());
      EXPECT_EQ(save_step(saver, peers, 5).state, SaveResult::State::committed);
    });
    const StrataSource source(files, step_folder(kRun, 5));
    run_peers(ranks, [&](Peers& peers) {
      RankState wanted(peers.rank(), ranks, 5);
      std::vector<RestoreItem> items;
      for (const SaveItem& item : wanted.items())
        items.push_back({item.tensor, item.rect, nullptr, 100 * (std::ssize(items) / 2)});
      // Memory of a group alone, poisoned as it goes.
      std::map<size_t, std::vector<std::byte>> memory;
      std::vector<int64_t> order;
      const RestoreGroups groups{
          .memory =
              [&](size_t i) {
                memory[i].assign(wanted.bytes(i).size() + 1, std::byte{0xEE});
                return memory[i].data();
              },
          .arrived =
              [&](int64_t group) {
                order.push_back(group);
                for (const auto& [i, bytes] : memory) {
                  EXPECT_EQ(items[i].group, group);
                  EXPECT_TRUE(std::equal(wanted.bytes(i).begin(), wanted.bytes(i).end(), bytes.begin()))
                      << items[i].tensor.name;
                }
                memory.clear();
              }};
      WorkerPool pool(1);
      const RestoreReport report = restore(source, peers, items, pool, {}, groups);
      EXPECT_EQ(order, (std::vector<int64_t>{0, 100, 200}));
      if (peers.leads()) {
        EXPECT_GT(report.digests_compared, 0);
      }
    });
  }
}

}  // namespace
}  // namespace strata
