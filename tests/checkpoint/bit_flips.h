// SPDX-License-Identifier: Apache-2.0
// Random single-bit flips over all files of a checkpoint: each is found by verify() or when the manifest is
// read, and what a flip does not touch still reads as it was written.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"

namespace strata {

inline void flip_bits(int flips, unsigned seed) {
  MemoryFileSystem files;
  write_sample(files, "/c");
  const StrataSource whole(files, "/c");
  std::vector<std::pair<std::string, int64_t>> all{{"manifest.json", files.info("/c/manifest.json")->bytes}};
  for (const ManifestFile& file : whole.manifest().files) all.emplace_back(file.name, file.bytes);
  int64_t total = 0;
  for (const auto& [name, bytes] : all) total += bytes;
  std::vector<std::vector<std::byte>> expected;
  for (const TensorSpec& tensor : whole.tensors()) expected.push_back(sample_bytes(tensor));
  std::mt19937_64 random(seed);
  int in_manifest = 0, refused_at_open = 0, named = 0;
  for (int flip = 0; flip < flips; ++flip) {
    int64_t at = static_cast<int64_t>(random() % static_cast<uint64_t>(total));
    size_t which = 0;
    while (at >= all[which].second) at -= all[which++].second;
    const unsigned bit = random() % 8;
    SCOPED_TRACE(testing::Message() << all[which].first << " byte " << at << " bit " << bit);
    const auto file = files.open("/c/" + all[which].first, OpenMode::update);
    std::byte value;
    const auto turn = [&] {
      file->read(at, {&value, 1});
      value ^= std::byte{1} << bit;
      file->write(at, {&value, 1});
    };
    turn();
    in_manifest += which == 0;
    try {
      const StrataSource source(files, "/c");
      ASSERT_NE(which, 0u) << "a manifest with a flipped bit was accepted";
      const std::vector<std::string> faults = source.verify();
      ASSERT_FALSE(faults.empty());
      ASSERT_THAT(faults, testing::Contains(testing::HasSubstr(all[which].first)));
      ++named;
      if (flip % 16 == 0)  // whatever is handed out is right
        for (size_t t = 0; t < expected.size(); ++t) {
          try {
            ASSERT_EQ(read_whole(source, t), expected[t]);
          } catch (const Error&) {
          }
        }
    } catch (const Error& error) {
      ASSERT_EQ(error.fault(), Fault::model) << error.what();
      ASSERT_EQ(which, 0u) << error.what();
      ++refused_at_open;
    }
    turn();
  }
  std::printf("  %d flips over %lld bytes: %d in the manifest, %d refused on opening, %d named by verify\n",
              flips, static_cast<long long>(total), in_manifest, refused_at_open, named);
  EXPECT_EQ(refused_at_open + named, flips);
  EXPECT_EQ(StrataSource(files, "/c").verify(), std::vector<std::string>());
}

}  // namespace strata
