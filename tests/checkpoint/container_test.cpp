// SPDX-License-Identifier: Apache-2.0
// Written and read again: whole, in rectangles of every kind, strided, on the machine's files and in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/sample.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

void expect_sample(const StrataSource& source) {
  const auto tensors = sample_tensors();
  ASSERT_EQ(source.tensors().size(), tensors.size());
  std::mt19937 random(1);
  for (size_t t = 0; t < tensors.size(); ++t) {
    EXPECT_EQ(source.tensors()[t], tensors[t]);
    const auto whole = sample_bytes(tensors[t]);
    const int64_t size = size_of(tensors[t].type);
    EXPECT_EQ(read_whole(source, t), whole) << to_string(tensors[t]);
    EXPECT_EQ(source.stored_digest(t),
              digest_of(tensors[t].shape, Rect::whole(tensors[t].shape), size, whole.data()));
    EXPECT_EQ(source.find(tensors[t].name, tensors[t].state), t);
    if (tensors[t].shape.numel() == 0) continue;
    for (int round = 0; round < 40; ++round) {
      Rect rect = Rect::whole(tensors[t].shape);
      for (int d = 0; d < rect.begin.rank(); ++d) {
        rect.begin.set(d, static_cast<int64_t>(random()) % tensors[t].shape[d]);
        rect.extent.set(d, 1 + static_cast<int64_t>(random()) % (tensors[t].shape[d] - rect.begin[d]));
      }
      std::vector<std::byte> expected(static_cast<size_t>(rect.numel() * size)), got = expected;
      StridedTarget target = row_major(got.data(), rect.extent, size),
                    same = row_major(expected.data(), rect.extent, size);
      if (round % 3 == 2) {  // column-major memory
        int64_t stride = size;
        for (int d = 0; d < rect.extent.rank(); stride *= rect.extent[d++])
          target.strides[static_cast<size_t>(d)] = same.strides[static_cast<size_t>(d)] = stride;
      }
      copy_rect(rect, Rect::whole(tensors[t].shape), whole.data(), rect, same, size);
      source.read(t, rect, target);
      ASSERT_EQ(got, expected) << to_string(tensors[t]) << " " << to_string(rect.begin)
                               << to_string(rect.extent);
    }
  }
}

TEST(ContainerTest, RoundTripOnDisk) {
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  const std::string path = folder.path() + "/runs/step-00000007";
  write_sample(*files, path);
  EXPECT_THAT(*files->list(folder.path() + "/runs"), testing::ElementsAre("step-00000007"));
  for (const Caching caching : {Caching::buffered, Caching::prefer_direct}) {
    const StrataSource source(*files, path, {.caching = caching, .open_shards = 1});
    expect_sample(source);
    EXPECT_THAT(source.verify(), IsEmpty());
    EXPECT_GT(source.manifest().files.size(), 4u);  // several shards, the view, assets
    EXPECT_EQ(source.metadata().at("note"), "sample");
    EXPECT_EQ(source.manifest().step, 7);
    ASSERT_EQ(source.assets().size(), 2u);
    EXPECT_EQ(source.assets()[0].content, R"({"layers":1})");
    EXPECT_EQ(source.find("embedding.weight", "v"), std::nullopt);
  }
}

TEST(ContainerTest, RoundTripInMemory) {
  MemoryFileSystem files;
  write_sample(files, "/c");
  const StrataSource source(files, "/c");
  expect_sample(source);
  EXPECT_THAT(source.verify(), IsEmpty());
}

TEST(ContainerTest, ShortAndInterruptedTransfersAreFinished) {
  MemoryFileSystem files;
  files.inject({.kind = IoFault::Kind::short_transfer, .times = -1});
  write_sample(files, "/c");
  expect_sample(StrataSource(files, "/c"));
}

TEST(ContainerTest, PiecesCoverEveryTensorOnce) {
  MemoryFileSystem files;
  write_sample(files, "/c");
  const StrataSource source(files, "/c");
  for (size_t t = 0; t < source.tensors().size(); ++t)
    for (const int64_t bytes : {8, 1000, 1 << 20}) {
      int64_t elements = 0;
      for (const Rect& piece : source.pieces(t, bytes)) elements += piece.numel();
      EXPECT_EQ(elements, source.tensors()[t].shape.numel());
    }
}

TEST(ContainerTest, AnExistingCheckpointIsNotOverwritten) {
  MemoryFileSystem files;
  write_sample(files, "/c");
  EXPECT_THROW(write_sample(files, "/c"), Error);
  expect_sample(StrataSource(files, "/c"));
}

TEST(ContainerTest, WithoutCommitNothingIsLeft) {
  MemoryFileSystem files;
  {
    StrataSink sink(files, "/c", {});
    sink.declare(sample_tensors(), nlohmann::json::object(), {});
  }
  EXPECT_THAT(*files.list("/"), IsEmpty());
}

}  // namespace
}  // namespace strata
