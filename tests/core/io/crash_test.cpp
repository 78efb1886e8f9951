// SPDX-License-Identifier: Apache-2.0
// Power cuts: what was synced stays, what was not may go in every combination, and replace_file is atomic at
// every call. Broken ways of replacing a file are tried too, so that the enumeration is known to find them.
#include <set>

#include "core/io/crc32c.h"
#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using Survival = MemoryFileSystem::Survival;

void power_cut(MemoryFileSystem& files) {
  files.crash();
  files.reboot();
}

TEST(Crash, SyncedBytesStayAndOthersGo) {
  for (const Survival survival : {Survival::none, Survival::all}) {
    MemoryFileSystem files({.survival = survival});
    const auto file = files.open("/f", OpenMode::create);
    files.sync_directory("/");
    file->write(0, pattern(2000, 1));
    file->sync();
    file->write(500, pattern(3000, 2));
    power_cut(files);
    auto expected = pattern(2000, 1);
    if (survival == Survival::all) {
      expected.resize(500);
      const auto more = pattern(3000, 2);
      expected.insert(expected.end(), more.begin(), more.end());
    }
    EXPECT_TRUE(equal(bytes_of(read_file(files, "/f")), expected));
  }
}

TEST(Crash, ShrinkingIsUndoneToo) {
  MemoryFileSystem files({.survival = Survival::none});
  const auto file = files.open("/f", OpenMode::create);
  files.sync_directory("/");
  file->write(0, pattern(3000, 1));
  file->sync();
  file->truncate(700);
  file->truncate(5000);
  file->write(100, pattern(50, 2));
  power_cut(files);
  EXPECT_TRUE(equal(bytes_of(read_file(files, "/f")), pattern(3000, 1)));
}

TEST(Crash, AnySubsetOfBlocksMaySurvive) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    MemoryFileSystem files({.block_bytes = 4, .seed = seed});
    const auto file = files.open("/f", OpenMode::create);
    files.sync_directory("/");
    file->write(0, std::as_bytes(std::span("aaaaaaaaaaaa", 12)));
    file->sync();
    file->write(0, std::as_bytes(std::span("bbbbbbbbbbbb", 12)));
    power_cut(files);
    seen.insert(read_file(files, "/f"));
  }
  EXPECT_EQ(seen.size(), 8u);  // each of three blocks old or new, and never mixed inside
  for (const std::string& content : seen)
    for (int block = 0; block < 3; ++block)
      EXPECT_THAT(content.substr(block * 4, 4), testing::AnyOf("aaaa", "bbbb"));
}

TEST(Crash, AnOverwrittenVersionMayBeTheOneThatSurvives) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    MemoryFileSystem files({.seed = seed});
    const auto file = files.open("/f", OpenMode::create);
    files.sync_directory("/");
    for (const char* text : {"1", "2", "3"}) {
      file->write(0, std::as_bytes(std::span(text, 1)));
      if (*text == '1') file->sync();
    }
    power_cut(files);
    seen.insert(read_file(files, "/f"));
  }
  EXPECT_THAT(seen, testing::ElementsAre("1", "2", "3"));
}

TEST(Crash, NamesAreLostUntilTheFolderIsSynced) {
  MemoryFileSystem files({.survival = Survival::none});
  const auto make = [&](const std::string& path) {
    const auto file = files.open(path, OpenMode::create);
    file->write(0, pattern(10, 1));
    file->sync();
  };
  make("/lost");
  power_cut(files);
  EXPECT_EQ(files.info("/lost"), std::nullopt);

  make("/a");
  files.sync_directory("/");
  files.rename("/a", "/b");
  make("/c");
  power_cut(files);
  EXPECT_THAT(*files.list("/"), testing::ElementsAre("a"));

  files.remove("/a");
  power_cut(files);
  EXPECT_THAT(*files.list("/"), testing::ElementsAre("a"));

  files.make_directory("/d");
  make("/d/x");
  files.sync_directory("/");  // the folder's name, but not the names in it
  files.rename("/a", "/d/y");
  power_cut(files);
  EXPECT_THAT(*files.list("/"), testing::ElementsAre("a", "d"));
  EXPECT_TRUE(files.list("/d")->empty());

  make_directories(files, "/p/q/r");  // durable by itself
  files.rename("/a", "/p/q/r/a");
  files.sync_directory("/p/q/r");  // a move is one change: gone there, here, and never both
  power_cut(files);
  EXPECT_THAT(*files.list("/"), testing::ElementsAre("d", "p"));
  EXPECT_EQ(read_file(files, "/p/q/r/a").size(), 10u);
}

TEST(Crash, AFileHasOneNameWhateverSurvives) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    MemoryFileSystem files({.seed = seed});
    make_directories(files, "/x");
    make_directories(files, "/y");
    files.open("/x/1", OpenMode::create);
    files.rename("/x/1", "/y/2");
    if (seed % 3 == 0) files.sync_directory("/y");
    files.rename("/y/2", "/x/3");
    if (seed % 5 == 0) files.sync_directory("/x");
    power_cut(files);
    const size_t names = files.list("/x")->size() + files.list("/y")->size();
    EXPECT_LE(names, 1u) << seed;
    if (seed % 3 == 0 || seed % 5 == 0) {
      EXPECT_EQ(names, 1u) << seed;
    }
  }
}

TEST(Crash, OpenFilesDieWithThePower) {
  MemoryFileSystem files;
  const auto file = files.open("/f", OpenMode::create);
  files.crash();
  EXPECT_EQ(code_of_error([&] { files.info("/f"); }), kCrashed);
  files.reboot();
  EXPECT_EQ(code_of_error([&] { file->write(0, pattern(10, 1)); }), kCrashed);
  EXPECT_EQ(code_of_error([&] { file->sync(); }), kCrashed);
  EXPECT_NO_THROW(files.open("/f", OpenMode::create));
}

// ---- replacing a file
// ----------------------------------------------------------------------------------------

using Replace = void (*)(FileSystem&, const std::string& path, std::string_view content);

// Crashes `replace` at each of its calls under many seeds. How many outcomes were neither the old nor the new
// file whole, and how many of those after a return were not the new one.
struct Verdict {
  int runs = 0, old_file = 0, new_file = 0, broken = 0, not_durable = 0;
};

Verdict crash_everywhere(Replace replace, Survival survival) {
  Verdict verdict;
  const std::string old_content(3000, 'o'), new_content(5000, 'n');
  for (uint64_t seed = 0; seed < 40; ++seed)
    for (int64_t at = 0;; ++at) {
      MemoryFileSystem files({.survival = survival, .seed = seed});
      make_directories(files, "/run");
      replace_file(files, "/run/state", old_content);
      files.inject({.kind = IoFault::Kind::crash, .at = at});
      bool returned = false;
      try {
        replace(files, "/run/state", new_content);
        returned = true;
      } catch (const IoError& error) {
        EXPECT_EQ(error.code(), kCrashed);
      }
      if (!files.crashed()) files.crash();
      files.reboot();
      const bool there = files.info("/run/state").has_value();
      const std::string found = there ? read_file(files, "/run/state") : "";
      ++verdict.runs;
      if (found == new_content)
        ++verdict.new_file;
      else if (found == old_content)
        ++verdict.old_file;
      else
        ++verdict.broken;
      if (returned && found != new_content) ++verdict.not_durable;
      // A restart goes on from there, whatever was left behind.
      replace_file(files, "/run/state", "next");
      EXPECT_EQ(read_file(files, "/run/state"), "next");
      if (returned) break;
    }
  return verdict;
}

TEST(Crash, ReplaceFileIsAtomicAtEveryCall) {
  for (const Survival survival : {Survival::none, Survival::all, Survival::by_seed}) {
    const Verdict verdict =
        crash_everywhere([](FileSystem& files, const std::string& path,
                            std::string_view content) { replace_file(files, path, content); },
                         survival);
    EXPECT_EQ(verdict.runs, 40 * 6);  // five calls, and none of them
    EXPECT_EQ(verdict.broken, 0);
    EXPECT_EQ(verdict.not_durable, 0);
    EXPECT_GT(verdict.old_file, 0);
    EXPECT_GT(verdict.new_file, 0);
  }
}

TEST(Crash, TheEnumerationFindsBrokenReplacements) {
  const Verdict in_place = crash_everywhere(
      [](FileSystem& files, const std::string& path, std::string_view content) {
        const auto file = files.open(path, OpenMode::create);
        file->write(0, std::as_bytes(std::span(content)));
        file->sync();
      },
      Survival::by_seed);
  EXPECT_GT(in_place.broken, 0);

  const Verdict no_sync = crash_everywhere(
      [](FileSystem& files, const std::string& path, std::string_view content) {
        files.open(path + ".tmp", OpenMode::create)->write(0, std::as_bytes(std::span(content)));
        files.rename(path + ".tmp", path);
        files.sync_directory(parent_directory(path));
      },
      Survival::by_seed);
  EXPECT_GT(no_sync.broken, 0);

  const Verdict no_directory_sync = crash_everywhere(
      [](FileSystem& files, const std::string& path, std::string_view content) {
        const auto file = files.open(path + ".tmp", OpenMode::create);
        file->write(0, std::as_bytes(std::span(content)));
        file->sync();
        files.rename(path + ".tmp", path);
      },
      Survival::by_seed);
  EXPECT_EQ(no_directory_sync.broken, 0);
  EXPECT_GT(no_directory_sync.not_durable, 0);
}

// A two-slot log written through the asynchronous twin, as NVMe state will be: tiles first, sync, then the
// map with its checksum. After a crash at any call the newest map that checks out names tiles that are whole.
TEST(Crash, TwoSlotsThroughTheAsynchronousTwin) {
  constexpr int64_t kTile = 1024, kTiles = 4, kSlot = kTile * kTiles;
  int crashes = 0;
  for (uint64_t seed = 0; seed < 15; ++seed)
    for (int64_t at = 0;; ++at) {
      MemoryFileSystem files({.seed = seed});
      const auto write_step = [&](AsyncIo& io, File& file, File& map, uint32_t step) {
        const auto content = pattern(kSlot, step);
        for (uint64_t t = 0; t < kTiles; ++t)
          io.submit(IoRequest::write(file, step % 2 * kSlot + t * kTile,
                                     std::span(content).subspan(t * kTile, kTile), t));
        for (const IoCompletion& completion : io.wait_all()) require(completion);
        io.submit(IoRequest::sync(file, 9));
        require(io.wait(9));
        const std::array<uint32_t, 2> record = {step, crc32c(std::as_bytes(std::span(&step, 1)))};
        map.write(step % 2 * 512, std::as_bytes(std::span(record)));
        map.sync();
      };
      uint32_t committed = 0;
      bool finished = false;
      {
        const auto file = files.open("/tiles", OpenMode::create), map = files.open("/map", OpenMode::create);
        const auto io = files.make_async_io({.depth = 3});
        files.sync_directory("/");
        write_step(*io, *file, *map, ++committed);
        files.inject({.kind = IoFault::Kind::crash, .at = at});
        try {
          for (uint32_t step = 2; step <= 4; ++step, ++committed) write_step(*io, *file, *map, step);
          finished = true;
        } catch (const IoError& error) {
          ASSERT_EQ(error.code(), kCrashed);
        }
      }
      if (!files.crashed()) files.crash();
      files.reboot();
      ++crashes;
      const std::string map = read_file(files, "/map"), tiles = read_file(files, "/tiles");
      uint32_t newest = 0;
      for (size_t slot = 0; slot < 2 && slot * 512 + 8 <= map.size(); ++slot) {
        std::array<uint32_t, 2> record;
        std::memcpy(record.data(), map.data() + slot * 512, 8);
        if (record[1] == crc32c(std::as_bytes(std::span(record).first(1))))
          newest = std::max(newest, record[0]);
      }
      ASSERT_GE(newest, committed) << "seed " << seed << ", call " << at;
      ASSERT_LE(newest, committed + 1);
      const auto found = std::as_bytes(std::span(tiles)).subspan(newest % 2 * kSlot, kSlot);
      ASSERT_TRUE(equal(found, pattern(kSlot, newest)))
          << "seed " << seed << ", call " << at << ", step " << newest;
      if (finished) break;
    }
  EXPECT_EQ(crashes, 15 * (3 * (kTiles + 3) + 1));
}

TEST(Crash, CallsAreCountedAlikeInEveryRun) {
  const auto count = [](uint64_t seed) {
    MemoryFileSystem files({.seed = seed});
    replace_file(files, "/a", "x");
    read_file(files, "/a");
    remove_tree(files, "/a");
    return files.calls();
  };
  EXPECT_EQ(count(1), 5 + 3 + 1);
  EXPECT_EQ(count(1), count(2));
}

}  // namespace
}  // namespace strata
