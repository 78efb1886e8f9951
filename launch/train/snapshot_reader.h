// SPDX-License-Identifier: Apache-2.0
// State on drives as a save reads it: from a pinned commit, piece by piece, beside the steps that follow.
// What was read may be overwritten again at once.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "core/device/cpu/cpu_stream.h"
#include "core/io/page_memory.h"
#include "core/program/update_rule.h"
#include "core/step/step_runner.h"
#include "offload/tile_store.h"

namespace strata {

// All but the constructor and expect() is called by one thread.
class SnapshotReader {
 public:
  // Pins the store's last commit. The store outlives this.
  SnapshotReader(TileStore& store, const UpdateRule& rule);
  ~SnapshotReader();

  int64_t step() const;

  // Announces a read of a value: after the last one its slots are free.
  void expect(const Value& value) { ++reads_left_[key(value)]; }
  // A tensor of a parameter's piece: on nvme, or a copy in memory of the host.
  struct Source {
    std::optional<StepRunner::StoredRange> stored;
    Tensor here;
    DType dtype = DType::f32;
    int64_t per = 1;  // elements that share an entry
  };
  void read(const Source& source, std::span<std::byte> into);
  // What the rule makes of a weight and the slots that hold its value (the others are absent) as f32.
  void export_values(const Source& weight, std::span<const Source> slots, std::span<std::byte> into);

 private:
  // The bytes of a range, once expected.
  void read(const StepRunner::StoredRange& range, std::span<std::byte> into);
  Tensor bring(const Source& source, int64_t elements, PageMemory& memory);

  const UpdateRule& rule_;
  int64_t tile_bytes_;
  std::unique_ptr<class TileSnapshot> snapshot_;
  std::map<uint64_t, int> reads_left_;
  PageMemory window_;  // whole tiles around a range
  int64_t window_bytes_ = 0;
  WorkerPool alone_;
  CpuStream stream_;
};

// The same state in pieces of rows, of at most about `bytes` as f32, where any state is away: what saves and
// restores of it hold at once. Ranks that hold the same get the same pieces.
std::vector<LogicalState> in_pieces(std::vector<LogicalState> states, const StepRunner& runner,
                                    int64_t bytes = int64_t{8} << 20);

}  // namespace strata
