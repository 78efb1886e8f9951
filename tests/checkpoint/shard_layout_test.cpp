// SPDX-License-Identifier: Apache-2.0
// Layout by HDF5, bytes by us: offsets are aligned and disjoint, the same request is the same bytes, and what
// fails below HDF5 comes out as what it was.
#include "checkpoint/shard_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "checkpoint/shard_writer.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"

namespace strata {
namespace {

std::vector<ShardEntry> entries() {
  std::vector<ShardEntry> all;
  for (int i = 0; i <= static_cast<int>(ElementType::boolean); ++i) {
    const TensorSpec tensor{.name = fmt::format("layers.{}.w", i),
                            .state = i % 2 ? "m" : "param",
                            .type = static_cast<ElementType>(i),
                            .shape = {100, 1000}};
    all.push_back({tensor, {{0, 0}, {50, 1000}}});
    all.push_back({tensor, {{50, 0}, {1, 3}}});
  }
  all.push_back({{.name = "scalar"}, {}});
  return all;
}

TEST(ShardLayoutTest, OffsetsAreAlignedDisjointAndRepeatable) {
  MemoryFileSystem files;
  const auto file = files.open("/a.h5", OpenMode::create), again = files.open("/b.h5", OpenMode::create);
  const auto wanted = entries();
  const std::vector<int64_t> offsets = lay_out_shard(*file, wanted);
  ASSERT_EQ(offsets.size(), wanted.size());
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].bytes() >= kPage) {
      EXPECT_EQ(offsets[i] % kPage, 0);
    }
    ranges.emplace_back(offsets[i], offsets[i] + wanted[i].bytes());
  }
  std::sort(ranges.begin(), ranges.end());
  EXPECT_GT(ranges[0].first, 0);
  for (size_t i = 1; i < ranges.size(); ++i) EXPECT_LE(ranges[i - 1].second, ranges[i].first);
  EXPECT_LE(ranges.back().second, file->size());
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 would write what second it is
  EXPECT_EQ(lay_out_shard(*again, wanted), offsets);
  EXPECT_TRUE(read_file(files, "/a.h5") == read_file(files, "/b.h5"));
  EXPECT_EQ(dataset_name(wanted[1].tensor, wanted[1].rect), "layers.0.w@50,0");
}

TEST(ShardLayoutTest, EveryFailureBelowHdf5IsTold) {
  int failures = 0;
  for (int64_t at = 0;; ++at) {
    MemoryFileSystem files;
    const auto file = files.open("/a.h5", OpenMode::create);
    files.inject({.kind = IoFault::Kind::error, .at = at, .code = ENOSPC});
    const int64_t before = files.calls();
    try {
      lay_out_shard(*file, entries());
      EXPECT_LE(files.calls() - before, at) << "a failed call went unnoticed";
      break;
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), ENOSPC);
      ++failures;
    }
  }
  EXPECT_GT(failures, 3);
}

TEST(ShardLayoutTest, SpaceIsReservedBeforeAnythingIsWritten) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  if (!files->open(folder.path() + "/try", OpenMode::create)->preallocate(1 << 20))
    GTEST_SKIP() << files->volume(folder.path()).type << " cannot reserve space";
  const std::string path = folder.path() + "/a.h5";
  const ShardWriter shard(*files, path, {{{.name = "w", .shape = {1 << 20}}, {{0}, {1 << 20}}}}, 1 << 20);
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_GE(info.st_blocks * 512, 4 << 20);
}

TEST(ShardLayoutTest, ManyDatasets) {
  MemoryFileSystem files;
  const auto file = files.open("/a.h5", OpenMode::create);
  std::vector<ShardEntry> many;
  for (int i = 0; i < 3000; ++i) many.push_back({{.name = fmt::format("w{}", i), .shape = {5}}, {{0}, {5}}});
  EXPECT_EQ(lay_out_shard(*file, many).size(), 3000u);
  EXPECT_LT(file->size(), 3000 * 600);
}

}  // namespace
}  // namespace strata
