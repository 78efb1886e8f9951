// SPDX-License-Identifier: Apache-2.0
// A synthetic model under many layouts: what each rank would hold of every tensor, as rectangles. Heads that
// do not divide, a vocabulary that ranks pad, a tied table, experts, and cuts of optimizer state that run
// across rows.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "checkpoint/restore.h"
#include "core/tensor/flat_range.h"
#include "tests/checkpoint/save_job.h"

namespace strata {

struct TestLayout {
  std::string name;
  int dp = 1, tp = 1, pp = 1;
  bool experts_apart = false;  // experts are spread over dp
  bool zero = false;           // all state is cut over dp, flat
  int virtual_stages = 1;
  int ranks() const { return dp * tp * pp; }
};

inline const std::vector<TestLayout>& test_layouts() {
  static const std::vector<TestLayout> all{
      {.name = "1"},
      {.name = "dp2", .dp = 2},
      {.name = "dp3 zero", .dp = 3, .zero = true},
      {.name = "dp4 zero", .dp = 4, .zero = true},
      {.name = "dp7 zero", .dp = 7, .zero = true},
      {.name = "tp2", .tp = 2},
      {.name = "tp3", .tp = 3},
      {.name = "tp4", .tp = 4},
      {.name = "pp2", .pp = 2},
      {.name = "pp4", .pp = 4},
      {.name = "pp2 v2", .pp = 2, .virtual_stages = 2},
      {.name = "dp2 tp2", .dp = 2, .tp = 2},
      {.name = "dp2 tp2 pp2", .dp = 2, .tp = 2, .pp = 2},
      {.name = "dp2 tp3 zero", .dp = 2, .tp = 3, .zero = true},
      {.name = "dp2 ep", .dp = 2, .experts_apart = true},
      {.name = "dp4 ep zero", .dp = 4, .experts_apart = true, .zero = true},
      {.name = "dp2 tp2 pp2 ep", .dp = 2, .tp = 2, .pp = 2, .experts_apart = true},
      {.name = "dp4 pp2 zero", .dp = 4, .pp = 2, .zero = true},
  };
  return all;
}

namespace test_model {
constexpr int64_t kLayers = 4, kHidden = 12, kHeads = 5, kHeadDim = 4, kFfn = 18, kVocab = 53, kExperts = 4;
}

struct LaidOut {
  TensorSpec tensor;
  Rect rect;
};

// What `rank` holds. Every tensor has param (f32), m (bf16) and v (f32).
inline std::vector<LaidOut> held_by(const TestLayout& layout, int rank) {
  using namespace test_model;
  const int64_t dp = rank % layout.dp, tp = rank / layout.dp % layout.tp, pp = rank / layout.dp / layout.tp;
  std::vector<LaidOut> held;
  const auto part = [](int64_t count, int64_t parts, int64_t i) {  // uneven: the first ones get one more
    const int64_t begin = i * (count / parts) + std::min(i, count % parts);
    return std::pair(begin, count / parts + (i < count % parts ? 1 : 0));
  };
  const auto add = [&](const std::string& name, const Shape& shape, const Rect& rect,
                       bool cut_over_dp = true) {
    std::vector<Rect> rects{rect};
    if (layout.zero && cut_over_dp) {
      rects.clear();
      const int64_t each = div_up(rect.numel(), layout.dp);  // the last ranks may have none
      const int64_t begin = std::min(dp * each, rect.numel()), end = std::min(begin + each, rect.numel());
      for (const RangePart& piece : rects_of_range(rect, begin, end)) rects.push_back(piece.rect);
    }
    for (const auto& [state, type] :
         {std::pair("param", ElementType::f32), {"m", ElementType::bf16}, {"v", ElementType::f32}})
      for (const Rect& r : rects)
        if (r.numel() > 0) held.push_back({{.name = name, .state = state, .type = type, .shape = shape}, r});
  };
  const auto rows = [&](const std::string& name, int64_t units, int64_t unit, int64_t columns) {
    const auto [begin, count] = part(units, layout.tp, tp);
    add(name, {units * unit, columns}, {{begin * unit, 0}, {count * unit, columns}});
  };
  const auto columns = [&](const std::string& name, int64_t rows, int64_t units, int64_t unit) {
    const auto [begin, count] = part(units, layout.tp, tp);
    add(name, {rows, units * unit}, {{0, begin * unit}, {rows, count * unit}});
  };
  const auto vocabulary = [&] {  // padded to a multiple of tp: the last rank's part is cut to what is real
    const int64_t each = div_up(kVocab, layout.tp);
    const int64_t begin = std::min(tp * each, kVocab), end = std::min(begin + each, kVocab);
    add("embedding.weight", {kVocab, kHidden}, {{begin, 0}, {end - begin, kHidden}});
  };
  if (pp == 0) vocabulary();
  if (pp == layout.pp - 1) {
    if (layout.pp > 1) vocabulary();  // tied: the head's copy is the same tensor
    add("norm.weight", {kHidden}, {{0}, {kHidden}});
  }
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const int64_t chunk = layer * layout.pp * layout.virtual_stages / kLayers;
    if (chunk % layout.pp != pp) continue;
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    add(prefix + "norm.weight", {kHidden}, {{0}, {kHidden}});
    rows(prefix + "attn.q.weight", kHeads, kHeadDim, kHidden);
    columns(prefix + "attn.o.weight", kHidden, kHeads, kHeadDim);
    rows(prefix + "mlp.up.weight", kFfn, 1, kHidden);
    columns(prefix + "mlp.down.weight", kHidden, kFfn, 1);
    for (int64_t expert = 0; expert < kExperts; ++expert) {
      if (layout.experts_apart && expert % layout.dp != dp) continue;
      add(fmt::format("{}experts.{}.weight", prefix, expert), {kFfn, kHidden}, {{0, 0}, {kFfn, kHidden}},
          !layout.experts_apart);
    }
  }
  return held;
}

inline std::vector<std::byte> laid_out_bytes(const LaidOut& part) {
  const auto whole = sample_bytes(part.tensor);
  const int64_t size = size_of(part.tensor.type);
  std::vector<std::byte> bytes(static_cast<size_t>(part.rect.numel() * size));
  copy_rect(part.rect, Rect::whole(part.tensor.shape), whole.data(), part.rect,
            row_major(bytes.data(), part.rect.extent, size), size);
  return bytes;
}

inline std::string save_layout(FileSystem& files, const TestLayout& layout) {
  SaverOptions options = test_options();
  options.directory = "/" + layout.name;
  run_peers(layout.ranks(), [&](Peers& peers) {
    Saver saver(files, peers, options);
    SaveRequest request{.step = 1};
    std::vector<std::vector<std::byte>> memory;
    for (const LaidOut& part : held_by(layout, peers.rank())) {
      memory.push_back(laid_out_bytes(part));
      request.items.push_back({part.tensor, part.rect, memory.back().data()});
    }
    SaveResult result = saver.begin(std::move(request));
    if (result.state == SaveResult::State::writing) result = saver.finish();
    EXPECT_EQ(result.state, SaveResult::State::committed) << layout.name << ": " << result.message;
  });
  return step_folder(options.directory, 1);
}

// Loads under `layout` and compares every byte of every rank. The bytes read from disk by all ranks.
inline int64_t load_layout(FileSystem& files, const std::string& path, const TestLayout& layout) {
  std::atomic<int64_t> read = 0;
  run_peers(layout.ranks(), [&](Peers& peers) {
    const StrataSource source(files, path);
    WorkerPool pool(1);
    const std::vector<LaidOut> held = held_by(layout, peers.rank());
    std::vector<std::vector<std::byte>> memory;
    std::vector<RestoreItem> items;
    for (const LaidOut& part : held) {
      memory.emplace_back(static_cast<size_t>(part.rect.numel() * size_of(part.tensor.type)));
      items.push_back({part.tensor, part.rect, memory.back().data()});
    }
    const RestoreReport report = restore(source, peers, items, pool);
    read += report.bytes_read;
    if (peers.leads()) {
      EXPECT_EQ(report.digests_compared, std::ssize(source.tensors()));
    }
    for (size_t i = 0; i < held.size(); ++i)
      EXPECT_EQ(memory[i], laid_out_bytes(held[i]))
          << layout.name << " rank " << peers.rank() << " " << to_string(held[i].tensor);
  });
  return read;
}

}  // namespace strata
