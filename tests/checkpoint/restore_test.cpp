// SPDX-License-Identifier: Apache-2.0
// Saved under one layout, loaded under another: every byte of every rank, each byte read once for all
// replicas.
#include "checkpoint/restore.h"

#include <gmock/gmock.h>

#include <atomic>

#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/layouts.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST(RestoreTest, NeighboursAmongTheLayouts) {
  MemoryFileSystem files;
  const auto& layouts = test_layouts();
  ASSERT_GE(layouts.size(), 16u);
  std::vector<std::string> paths;
  for (const TestLayout& layout : layouts) paths.push_back(save_layout(files, layout));
  // The digests of all layouts are those of one rank.
  const StrataSource first(files, paths[0]);
  int64_t state_bytes = 0;
  for (const TensorSpec& tensor : first.tensors()) state_bytes += tensor.bytes();
  for (size_t i = 1; i < paths.size(); ++i) {
    const StrataSource other(files, paths[i]);
    ASSERT_EQ(other.tensors().size(), first.tensors().size()) << layouts[i].name;
    for (size_t t = 0; t < first.tensors().size(); ++t)
      EXPECT_EQ(other.stored_digest(*other.find(first.tensors()[t].name, first.tensors()[t].state)),
                first.stored_digest(t))
          << layouts[i].name << " " << to_string(first.tensors()[t]);
  }
  for (size_t i = 0; i < layouts.size(); ++i) {
    EXPECT_EQ(load_layout(files, paths[i], layouts[(i + 1) % layouts.size()]), state_bytes);
    EXPECT_EQ(load_layout(files, paths[i], layouts[(i * 7 + 5) % layouts.size()]), state_bytes);
  }
}

TEST(RestoreTest, OneRankCannotLoadAndAllSayWhy) {
  MemoryFileSystem files;
  const std::string path = save_layout(files, {.name = "dp4 zero", .dp = 4, .zero = true});
  {
    const StrataSource source(files, path);
    const ManifestFragment& fragment = source.manifest().tensors[3].fragments.back();
    const auto file = files.open(path + "/" + source.manifest().files[fragment.file].name, OpenMode::update);
    std::byte value;
    file->read(fragment.offset, {&value, 1});
    value ^= std::byte{1};
    file->write(fragment.offset, {&value, 1});
  }
  std::atomic<int> told = 0;
  const TestLayout layout{.name = "tp2", .tp = 2};
  run_peers(2, [&](Peers& peers) {
    const StrataSource source(files, path);
    WorkerPool pool(1);
    std::vector<std::vector<std::byte>> memory;
    std::vector<RestoreItem> items;
    for (const LaidOut& part : held_by(layout, peers.rank())) {
      memory.emplace_back(static_cast<size_t>(part.rect.numel() * size_of(part.tensor.type)));
      items.push_back({part.tensor, part.rect, memory.back().data()});
    }
    try {
      restore(source, peers, items, pool);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("is damaged"));
      EXPECT_THAT(error.what(), HasSubstr(source.tensors()[3].name));
      ++told;
    }
  });
  EXPECT_EQ(told, 2);
}

// A source whose bytes pass every checksum and are wrong all the same, as geometry gone wrong would make
// them.
class WrongSource : public TensorSource {
 public:
  explicit WrongSource(const StrataSource& source) : source_(source) {}
  std::string format() const override { return source_.format(); }
  std::string path() const override { return source_.path(); }
  std::span<const TensorSpec> tensors() const override { return source_.tensors(); }
  const nlohmann::json& metadata() const override { return source_.metadata(); }
  std::optional<Digest> stored_digest(size_t tensor) const override { return source_.stored_digest(tensor); }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    source_.read(tensor, rect, into);
    if (tensor == 5) into.data[0] ^= std::byte{1};
  }

 private:
  const StrataSource& source_;
};

TEST(RestoreTest, WhatIsNotWhatWasSavedIsFoundByItsDigest) {
  MemoryFileSystem files;
  const std::string path = save_layout(files, {.name = "dp4 zero", .dp = 4, .zero = true});
  std::atomic<int> told = 0;
  run_peers(2, [&](Peers& peers) {
    const StrataSource source(files, path);
    const WrongSource wrong(source);
    WorkerPool pool(1);
    std::vector<std::vector<std::byte>> memory;
    std::vector<RestoreItem> items;
    for (const LaidOut& part : held_by({.tp = 2}, peers.rank())) {
      memory.emplace_back(static_cast<size_t>(part.rect.numel() * size_of(part.tensor.type)));
      items.push_back({part.tensor, part.rect, memory.back().data()});
    }
    try {
      restore(wrong, peers, items, pool);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("was not loaded as it was saved"));
      EXPECT_THAT(error.what(), HasSubstr(source.tensors()[5].name));
      ++told;
    }
  });
  EXPECT_EQ(told, 2);
}

TEST(RestoreTest, MissingTensorsKeepTheirValuesWhereRulesSaySo) {
  MemoryFileSystem files;
  const std::string path = save_layout(files, {.name = "dp2", .dp = 2});
  const TensorSpec fresh{.name = "fresh", .shape = {6}};
  run_peers(2, [&](Peers& peers) {
    const StrataSource source(files, path);
    WorkerPool pool(1);
    std::vector<std::vector<std::byte>> memory;
    std::vector<RestoreItem> items;
    for (const LaidOut& part : held_by({.dp = 2}, peers.rank())) {
      memory.emplace_back(static_cast<size_t>(part.rect.numel() * size_of(part.tensor.type)));
      items.push_back({part.tensor, part.rect, memory.back().data()});
    }
    std::vector<float> values(6, 2.5f);
    items.push_back({fresh, {{0}, {6}}, reinterpret_cast<std::byte*>(values.data())});
    EXPECT_THROW(restore(source, peers, items, pool), Error);
    restore(source, peers, items, pool, {.allow_missing = {"fresh"}});
    EXPECT_EQ(values, std::vector<float>(6, 2.5f));
  });
}

TEST(RestoreTest,
     AnyLayoutReadsAWeightAlone) {  // rectangles that overlap and do not cover: evaluation, sampling
  MemoryFileSystem files;
  const std::string path = save_layout(files, {.name = "dp2", .dp = 2});
  run_peers(2, [&](Peers& peers) {
    const StrataSource source(files, path);
    WorkerPool pool(1);
    const TensorSpec tensor = source.tensors()[0];
    const Rect rect{{peers.rank() * 3, 0}, {10, 5}};
    std::vector<std::byte> got(static_cast<size_t>(rect.numel() * 4));
    const RestoreItem item{tensor, rect, got.data()};
    restore(source, peers, {&item, 1}, pool, {.ignore_extra = {"*"}});
    EXPECT_EQ(got, laid_out_bytes({tensor, rect}));
  });
}

}  // namespace
}  // namespace strata
