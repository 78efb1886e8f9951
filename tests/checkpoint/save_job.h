// SPDX-License-Identifier: Apache-2.0
// A job that saves, for tests: ranks as threads hold a few tensors cut in every way, with content that
// depends on the step, and a judge that knows what any checkpoint of it must hold.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <vector>

#include "checkpoint/saver.h"
#include "checkpoint/step_folders.h"
#include "checkpoint/strata_source.h"
#include "parallel/comm/thread_world.h"
#include "tests/checkpoint/sample.h"

namespace strata {

inline const std::string kRun = "/run/checkpoints";

// One rank's state.
class RankState {
 public:
  RankState(int rank, int ranks, int64_t step, int64_t rows = 64) {
    const int64_t n = ranks;
    // Rows, uneven; columns; whole on every rank; on the last rank only; with nothing in it.
    add({.name = "rows", .shape = {rows + 1, 24}}, step, [&](const Shape& shape) {
      const int64_t begin = rank * shape[0] / n, end = (rank + 1) * shape[0] / n;
      return Rect{{begin, 0}, {end - begin, shape[1]}};
    });
    add({.name = "columns", .state = "m", .type = ElementType::bf16, .shape = {40, 8 * n}}, step,
        [&](const Shape& shape) {
          return Rect{{0, 8 * rank}, {shape[0], 8}};
        });
    add({.name = "norm", .shape = {17}}, step, [](const Shape& shape) { return Rect::whole(shape); });
    add({.name = "scalar", .type = ElementType::i64, .shape = {}}, step, [](const Shape&) { return Rect{}; });
    if (rank == ranks - 1)
      add({.name = "head", .state = "v", .shape = {1100}}, step,
          [](const Shape& s) { return Rect::whole(s); });
    add({.name = "empty", .shape = {0}}, step, [](const Shape&) { return Rect{{0}, {0}}; });
  }

  static std::vector<TensorSpec> tensors(int ranks, int64_t rows = 64) {
    std::vector<TensorSpec> all;
    for (const SaveItem& item : RankState(ranks - 1, ranks, 0, rows).items()) all.push_back(item.tensor);
    return all;
  }

  std::vector<SaveItem> items() const {
    std::vector<SaveItem> items;
    for (const auto& [tensor, rect, bytes] : held_) items.push_back({tensor, rect, bytes.data()});
    return items;
  }
  std::vector<std::byte>& bytes(size_t item) { return held_[item].bytes; }

 private:
  struct Part {
    TensorSpec tensor;
    Rect rect;
    std::vector<std::byte> bytes;
  };
  template <typename Cut>
  void add(const TensorSpec& tensor, int64_t step, Cut cut) {
    Part part{tensor, cut(tensor.shape), {}};
    const auto whole = sample_bytes(tensor, static_cast<uint64_t>(step));
    const int64_t size = size_of(tensor.type);
    part.bytes.resize(static_cast<size_t>(part.rect.numel() * size));
    copy_rect(part.rect, Rect::whole(tensor.shape), whole.data(), part.rect,
              row_major(part.bytes.data(), part.rect.extent, size), size);
    held_.push_back(std::move(part));
  }
  std::vector<Part> held_;
};

inline SaverOptions test_options() {
  return {.directory = kRun, .keep = 2, .block_bytes = 4096, .io_depth = 4};
}

// Runs body(peers) on `ranks` threads.
inline void run_peers(int ranks, const std::function<void(Peers&)>& body) {
  if (ranks == 1) {
    const auto peers = make_solo_peers();
    return body(*peers);
  }
  run_ranks(ranks, [&](World& world) {
    std::vector<int> all(static_cast<size_t>(ranks));
    std::iota(all.begin(), all.end(), 0);
    const auto group = world.group({.purpose = "save", .members = all});
    const auto peers = make_peers(*group);
    body(*peers);
  });
}

// Saves one step and waits. The state's memory is overwritten as soon as begin() returns.
inline SaveResult save_step(Saver& saver, Peers& peers, int64_t step) {
  RankState state(peers.rank(), peers.size(), step);
  SaveRequest request{
      .step = step, .meta = {{"step", step}}, .items = state.items(), .assets = {{"config.json", "{}"}}};
  SaveResult result = saver.begin(std::move(request));
  for (size_t i = 0; i < state.items().size(); ++i)
    std::fill(state.bytes(i).begin(), state.bytes(i).end(), std::byte{0xEE});
  return result.state == SaveResult::State::writing ? saver.finish() : result;
}

// Whether the checkpoint holds exactly what the job had at `step`.
inline void expect_step(FileSystem& files, const std::string& path, int ranks, int64_t step) {
  const StrataSource source(files, path);
  EXPECT_EQ(source.manifest().step, step);
  EXPECT_EQ(source.metadata().at("step"), step);
  EXPECT_EQ(source.verify(), std::vector<std::string>());
  const auto tensors = RankState::tensors(ranks);
  ASSERT_EQ(source.tensors().size(), tensors.size());
  for (const TensorSpec& tensor : tensors) {
    const auto at = source.find(tensor.name, tensor.state);
    ASSERT_TRUE(at) << to_string(tensor);
    EXPECT_EQ(source.tensors()[*at], tensor);
    EXPECT_EQ(read_whole(source, *at), sample_bytes(tensor, static_cast<uint64_t>(step)))
        << to_string(tensor);
  }
}

}  // namespace strata
