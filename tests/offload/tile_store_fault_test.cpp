// SPDX-License-Identifier: Apache-2.0
// Drives that fail, lie, fill up or fall silent beneath the tile store: it goes on, or stops with a message
// that names the tile, and a restart finds the last commit.
#include <thread>

#include "core/io/io_backend.h"
#include "offload/tile_file.h"
#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

using Kind = IoFault::Kind;
using testing::AllOf;
using testing::HasSubstr;

struct Rig {
  MemoryFileSystem files;
  TileStoreOptions options = sample_options(drives(files, "", 2));
  std::vector<StoredValue> values = sample_values();
  std::unique_ptr<TileStore> store = TileStore::open(files, options, values);

  Rig() {
    run_step(*store, values, 0);
    store->commit(0);
  }
  void expect_reopened(int64_t step) {
    store.reset();
    files.clear_faults();
    store = TileStore::open(files, options, values);
    EXPECT_EQ(store->committed_step(), step);
    for (const StoredValue& stored : values)
      if (stored.lifetime == Lifetime::versioned) {
        EXPECT_TRUE(holds(*store, stored, step)) << to_string(stored.value);
      }
  }
};

TEST(TileStoreFault, ShortTransfersGoOn) {
  Rig rig;
  rig.files.inject({.kind = Kind::short_transfer, .times = -1});
  for (int64_t step = 1; step < 4; ++step) {
    run_step(*rig.store, rig.values, step);
    rig.store->commit(step);
    EXPECT_TRUE(holds(*rig.store, rig.values[2], step));
  }
  rig.expect_reopened(3);
}

TEST(TileStoreFault, OneErrorOrWrongReadIsTriedAgain) {
  Rig rig;
  for (const Kind kind : {Kind::error, Kind::flip_bit}) {
    rig.files.inject({.kind = kind, .call = IoCall::read});
    EXPECT_TRUE(holds(*rig.store, rig.values[2], 0));
  }
  EXPECT_EQ(rig.store->read_stats().repeated, 2);
  rig.files.inject({.call = IoCall::write});
  run_step(*rig.store, rig.values, 1);
  EXPECT_EQ(rig.store->write_stats().repeated, 1);
  rig.store->commit(1);
  rig.expect_reopened(1);
}

TEST(TileStoreFault, ReadErrorsNameTileAndFile) {
  Rig rig;
  rig.files.inject({.times = -1, .call = IoCall::read, .path = "/drive1/"});
  try {
    holds(*rig.store, rig.values[2], 0);
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), EIO);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("cannot read tile "),
                                    HasSubstr(" of moments 2 tier=nvme from '/drive1/tiles-0000-1'"),
                                    HasSubstr("from offset "), HasSubstr("EIO"), HasSubstr("dmesg")));
  }
  rig.files.clear_faults();
  EXPECT_TRUE(holds(*rig.store, rig.values[2], 0));  // reads change nothing
  rig.expect_reopened(0);
}

TEST(TileStoreFault, FailedWritesEndTheStoreAndARestartFindsTheCommit) {
  for (const int code : {EIO, ENOSPC, EROFS}) {
    Rig rig;
    run_step(*rig.store, rig.values, 1);
    rig.files.inject({.times = -1, .call = IoCall::write, .path = "tiles", .code = code});
    EXPECT_EQ(code_of_error([&] { put(*rig.store, rig.values[2], 1); }), code);
    rig.files.clear_faults();
    EXPECT_THAT(message_of([&] { rig.store->commit(1); }), HasSubstr("close it and open it again"));
    EXPECT_THAT(message_of([&] { put(*rig.store, rig.values[0], 1); }),
                HasSubstr("close it and open it again"));
    rig.expect_reopened(0);
  }
}

TEST(TileStoreFault, AFailedCommitIsNoCommit) {
  for (const IoFault& fault : {IoFault{.call = IoCall::sync, .path = "tiles-0000-0"},
                               IoFault{.call = IoCall::sync, .path = "tiles-0000-1"},
                               IoFault{.call = IoCall::write, .path = "slots"}}) {
    Rig rig;
    run_step(*rig.store, rig.values, 1);
    rig.files.inject(fault);
    EXPECT_THAT(message_of([&] { rig.store->commit(1); }), HasSubstr("EIO"));
    EXPECT_THAT(message_of([&] { rig.store->commit(1); }), HasSubstr("close it and open it again"));
    EXPECT_EQ(rig.store->committed_step(), 0);
    rig.expect_reopened(0);
  }
  // The map was written and only its sync failed: a restart may find either.
  Rig rig;
  run_step(*rig.store, rig.values, 1);
  rig.files.inject({.call = IoCall::sync, .path = "slots"});
  EXPECT_THAT(message_of([&] { rig.store->commit(1); }), HasSubstr("EIO"));
  rig.expect_reopened(1);
}

TEST(TileStoreFault, FlippedBitsOnDiskAreNamed) {
  Rig rig;
  rig.files.inject({.kind = Kind::flip_bit, .call = IoCall::write, .path = "tiles"});
  put(*rig.store, rig.values[1], 1);
  try {
    holds(*rig.store, rig.values[1], 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::data);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("tile 0 of moments 1 tier=nvme is damaged on disk"),
                      HasSubstr("/tiles-0000-"), HasSubstr("4096 bytes from offset"), HasSubstr("CRC-32C")));
  }
  // Also in what a restart reads, at every tile: a bit of every slot is wrong.
  Rig other;
  other.store.reset();
  const StorePlan plan = plan_store(other.values, other.options);
  for (const StorePlan::Slot& slot : plan.slots) {
    const std::string name = "/" + tile_file_name(0, slot.path);
    const auto file = other.files.open(other.options.folders[slot.path] + name, OpenMode::update);
    std::byte byte;
    file->read(slot.offset + slot.bytes - 1, {&byte, 1});
    byte ^= std::byte{0x10};
    file->write(slot.offset + slot.bytes - 1, {&byte, 1});
  }
  other.store = TileStore::open(other.files, other.options, other.values);
  for (const StorePlan::Tile& tile : plan.tiles) {
    const StoredValue& stored = other.values[tile.value];
    if (stored.lifetime == Lifetime::scratch) continue;
    const Memory memory(tile.bytes);
    EXPECT_THAT(
        message_of(
            [&] { other.store->wait(other.store->read(stored.value, tile.index * kTile, memory.span())); }),
        HasSubstr("tile " + std::to_string(tile.index) + " of " + to_string(stored.value) + " is damaged"));
  }
}

// A drive that takes requests and never answers.
class SilentBackend : public IoBackend {
 public:
  std::string_view name() const override { return "silent"; }
  void start(const Attempt& attempt) override { slots_.push_back(attempt.slot); }
  void reap(std::vector<Ended>& ended, AsyncIo::Clock::time_point until) override {
    if (!cancelled_) return std::this_thread::sleep_until(until);
    for (const int slot : slots_) ended.push_back({slot, -ECANCELED});
    slots_.clear();
  }
  void cancel() override { cancelled_ = true; }

 private:
  std::vector<int> slots_;
  bool cancelled_ = false;
};

TEST(TileStoreFault, ASilentDriveIsToldOfAndGivenUp) {
  MemoryFileSystem files;
  const auto file = files.open("/tiles", OpenMode::create);
  const Memory memory(4096);
  std::vector<std::pair<std::string, double>> told;
  TransferLane lane(
      std::make_unique<AsyncIo>(std::make_unique<SilentBackend>(), 2),
      {.told_after = std::chrono::milliseconds(10), .given_up_after = std::chrono::milliseconds(30)},
      [](int64_t tile) { return "tile " + std::to_string(tile) + " of state 5"; },
      [&](const std::string& path, double seconds) { told.emplace_back(path, seconds); });
  const uint64_t ticket = lane.open_ticket();
  lane.begin(ticket, {.op = IoRequest::Op::write, .file = file.get(), .memory = memory.span(), .tile = 7});
  EXPECT_THAT(message_of([&] { lane.wait(ticket); }),
              AllOf(HasSubstr("stopped answering"), HasSubstr("tile 7 of state 5"), HasSubstr("/tiles"),
                    HasSubstr("0.03 s")));
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[1].first, "/tiles");
  EXPECT_NEAR(told[1].second, 0.02, 1e-9);
  EXPECT_NEAR(lane.stats().stalled_s, 0.03, 1e-9);
}

}  // namespace
}  // namespace strata
