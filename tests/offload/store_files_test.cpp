// SPDX-License-Identifier: Apache-2.0
// What bad input gets before the first step: one message each, and nobody else's file is touched.
#include "offload/store_files.h"

#include "offload/tile_file.h"
#include "tests/offload/store_fixture.h"

namespace strata {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A memory file system that says it is another one.
class Disguised : public MemoryFileSystem {
 public:
  using MemoryFileSystem::MemoryFileSystem;
  std::string type = "ext4";

 protected:
  IoOutcome<Volume> do_volume(const std::string& path) override {
    auto outcome = MemoryFileSystem::do_volume(path);
    outcome.value.type = type;
    return outcome;
  }
};

std::string open_message(FileSystem& files, const TileStoreOptions& options,
                         std::vector<StoredValue> values = sample_values()) {
  return message_of([&] { TileStore::open(files, options, std::move(values)); });
}

std::vector<std::string> names_in(FileSystem& files, const std::string& folder) {
  return files.list(folder).value_or(std::vector<std::string>{});
}

TEST(StoreFiles, FoldersThatCannotBeUsed) {
  Disguised files;
  TileStoreOptions options = sample_options({"/nvme0"});
  EXPECT_THAT(open_message(files, options),
              AllOf(HasSubstr("no such folder"), HasSubstr("offload.paths"), HasSubstr("mkdir -p '/nvme0'")));
  files.open("/nvme0", OpenMode::create);
  EXPECT_THAT(open_message(files, options), HasSubstr("'/nvme0' is no folder"));
  files.remove("/nvme0");
  files.make_directory("/nvme0");
  for (const char* type : {"tmpfs", "ramfs", "overlay", "nfs", "cifs", "fuse", "lustre", "9p"}) {
    files.type = type;
    options.volumes = Volumes::local_drives;
    EXPECT_THAT(open_message(files, options),
                AllOf(HasSubstr(type), HasSubstr("do not go on this file system"),
                      HasSubstr("offload.any_volume=true")));
    EXPECT_TRUE(names_in(files, "/nvme0").empty());
    options.volumes = Volumes::any;
    EXPECT_EQ(open_message(files, options), "no exception");
    remove_store_files(files, options.folders, options.run, 0);
  }
  for (const char* type : {"ext4", "xfs", "btrfs", "zfs", "0x1234"}) {
    files.type = type;
    options.volumes = Volumes::local_drives;
    EXPECT_EQ(open_message(files, options), "no exception") << type;
  }
  options.folders = {"/nvme0", "/nvme0"};
  EXPECT_THAT(open_message(files, options), HasSubstr("named twice"));
}

TEST(StoreFiles, NoPermission) {
  MemoryFileSystem files;
  const TileStoreOptions options = sample_options(drives(files, "", 1));
  files.inject({.times = -1, .call = IoCall::open, .path = ".new", .code = EACCES});
  EXPECT_THAT(open_message(files, options), AllOf(HasSubstr("/drive0/tiles-0000-0"), HasSubstr("EACCES"),
                                                  HasSubstr("give this user permission")));
}

TEST(StoreFiles, AFullDiskIsToldBeforeTheFirstStepAndLeavesNothing) {
  MemoryFileSystem files({.capacity_bytes = 250'000});
  TileStoreOptions options = sample_options(drives(files, "", 2));
  std::vector<StoredValue> values = sample_values();
  values.push_back({nvme(ValueClass::master, 0), 10 * kTile, Lifetime::versioned});
  EXPECT_THAT(
      open_message(files, options, values),
      AllOf(HasSubstr("do not fit"), HasSubstr("/drive"), HasSubstr("bytes free"), HasSubstr("ENOSPC"),
            HasSubstr("offload.slots=1"),
            HasSubstr(std::to_string(plan_store(values, options).file_bytes[1]) + " bytes")));
  // The first drive's file was made and stays; the next start finds it.
  EXPECT_TRUE(names_in(files, "/drive1").empty());
  options.slots = 1;
  EXPECT_EQ(open_message(files, options, values), "no exception");
}

TEST(StoreFiles, AnotherRunsFilesAreRefusedAndNotTouched) {
  MemoryFileSystem files;
  const TileStoreOptions ours = sample_options(drives(files, "", 2));
  {
    const auto store = TileStore::open(files, ours, sample_values());
    run_step(*store, sample_values(), 0);
    store->commit(0);
  }
  for (const ExistingFiles existing : {ExistingFiles::resume, ExistingFiles::discard}) {
    TileStoreOptions theirs = ours;
    theirs.run = "run-2";
    theirs.existing = existing;
    EXPECT_THAT(
        open_message(files, theirs),
        AllOf(HasSubstr("state of another run"), HasSubstr("/drive0/tiles-0000-0"),
              HasSubstr("run run-1, rank 0"), HasSubstr("run run-2, rank 0"), HasSubstr("offload.paths")));
  }
  const auto store = TileStore::open(files, ours, sample_values());
  EXPECT_EQ(store->committed_step(), 0);
  EXPECT_TRUE(holds(*store, sample_values()[2], 0));
}

TEST(StoreFiles, RanksAreNeighboursInOneFolder) {
  MemoryFileSystem files;
  TileStoreOptions options = sample_options(drives(files, "", 1));
  for (const int rank : {0, 1, 12}) {
    options.rank = rank;
    const auto store = TileStore::open(files, options, sample_values());
    run_step(*store, sample_values(), rank);
    store->commit(rank);
  }
  EXPECT_THAT(names_in(files, "/drive0"),
              testing::ElementsAre("slots-0000", "slots-0001", "slots-0012", "tiles-0000-0", "tiles-0001-0",
                                   "tiles-0012-0"));
  options.rank = 1;
  EXPECT_TRUE(holds(*TileStore::open(files, options, sample_values()), sample_values()[0], 1));
}

TEST(StoreFiles, AnotherLayoutOfThisRunIsRefusedUnlessDiscarded) {
  const auto change = [](int what, TileStoreOptions& options, std::vector<StoredValue>& values) {
    if (what == 0) values[0].bytes += kStoreAlignment;
    if (what == 1) values.pop_back();
    if (what == 2) options.folders.pop_back();
    if (what == 3) options.tile_bytes *= 2;
  };
  for (int what = 0; what < 4; ++what) {
    MemoryFileSystem files;
    TileStoreOptions options = sample_options(drives(files, "", 2));
    std::vector<StoredValue> values = sample_values();
    {
      const auto store = TileStore::open(files, options, values);
      run_step(*store, values, 0);
      store->commit(0);
    }
    change(what, options, values);
    EXPECT_THAT(open_message(files, options, values),
                AllOf(HasSubstr("another layout of its state"), HasSubstr("resume from a checkpoint")))
        << what;
    options.existing = ExistingFiles::discard;
    EXPECT_EQ(TileStore::open(files, options, values)->committed_step(), -1) << what;
    options.existing = ExistingFiles::resume;
    EXPECT_EQ(open_message(files, options, values), "no exception") << what;
  }
}

TEST(StoreFiles, OtherSpeedsAreNoOtherLayout) {
  MemoryFileSystem files;
  TileStoreOptions options = sample_options(drives(files, "", 2));
  options.speeds = {3.0, 1.0};
  {
    const auto store = TileStore::open(files, options, sample_values());
    run_step(*store, sample_values(), 0);
    store->commit(0);
  }
  options.speeds = {1.0, 1.1};
  const auto store = TileStore::open(files, options, sample_values());
  EXPECT_EQ(store->committed_step(), 0);
  EXPECT_THAT(store->plan().shape.weights, testing::ElementsAre(8, 3));
  EXPECT_TRUE(holds(*store, sample_values()[2], 0));
}

TEST(StoreFiles, DamagedOrMissingFilesAreNamed) {
  for (const char* name : {"/drive0/tiles-0000-0", "/drive1/tiles-0000-1"})
    for (const bool gone : {false, true}) {
      MemoryFileSystem files;
      const TileStoreOptions options = sample_options(drives(files, "", 2));
      {
        const auto store = TileStore::open(files, options, sample_values());
        run_step(*store, sample_values(), 0);
        store->commit(0);
      }
      if (gone) {
        files.remove(name);
        EXPECT_THAT(open_message(files, options), AllOf(HasSubstr("is gone"), HasSubstr(name)));
      } else {
        const std::byte byte{'x'};
        files.open(name, OpenMode::update)->write(70, {&byte, 1});
        EXPECT_THAT(open_message(files, options), AllOf(HasSubstr("header is damaged"), HasSubstr(name)));
      }
    }
  MemoryFileSystem files;
  const TileStoreOptions options = sample_options(drives(files, "", 1));
  { const auto store = TileStore::open(files, options, sample_values()); }
  files.open("/drive0/tiles-0000-0", OpenMode::update)->truncate(9000);
  EXPECT_THAT(open_message(files, options),
              AllOf(HasSubstr("a tile file is damaged"), HasSubstr("9000 bytes")));
  files.open("/drive0/slots-0000", OpenMode::update)->truncate(100);
  EXPECT_NE(open_message(files, options), "no exception");
}

TEST(StoreFiles, HeadersReadBackAndEveryByteCounts) {
  const TileFileHeader header = {"run_A-7", 12, 3, 0xFEDCBA9876543210, {8, 3, 1, 1}, int64_t{5} << 40};
  std::vector<std::byte> block = encode(header);
  ASSERT_EQ(std::ssize(block), 4096);
  EXPECT_EQ(decode_header(block), header);
  EXPECT_THAT(reinterpret_cast<const char*>(block.data()),
              testing::StartsWith("strata tile file 1\nrun run_A-7\nrank 12\n"));
  for (size_t at = 0; at < block.size(); ++at) {
    block[at] ^= std::byte{1};
    EXPECT_EQ(decode_header(block), std::nullopt) << at;
    block[at] ^= std::byte{1};
  }
  EXPECT_EQ(decode_header(std::span(block).first(100)), std::nullopt);
}

TEST(StoreFiles, ProgressOfFillingEndsAtTheWhole) {
  MemoryFileSystem files;
  TileStoreOptions options = sample_options(drives(files, "", 3));
  int64_t last = 0, total = 0;
  options.progress = [&](int64_t done, int64_t of) {
    EXPECT_GE(done, last);
    last = done, total = of;
  };
  const auto store = TileStore::open(files, options, sample_values());
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, store->plan().disk_bytes() - store->plan().map_bytes);
}

}  // namespace
}  // namespace strata
