// SPDX-License-Identifier: Apache-2.0
// Saves the state of a running job, ranks together, while the job goes on:
//
// - reserve: plan, make the temporary folder, lay out this rank's shard and reserve its space, in the
// background;
// - begin: all ranks agree that there is room; snapshot into a bounded pool; the background writes what is
// there of it;
// - poll, at a step boundary: have all written? Then rank 0 commits, in the background, and removes older
// checkpoints after that.
//
// One save is in flight at a time. A save that fails leaves the checkpoints that were there and a running
// job.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "checkpoint/peers.h"
#include "checkpoint/save_plan.h"
#include "checkpoint/shard_writer.h"
#include "core/io/file_system.h"
#include "core/io/page_memory.h"

namespace strata {

// A rectangle of a logical tensor in this rank's memory, contiguous and row-major. Ranks that hold the same
// rectangle hold the same bits: one of them writes, and their digests are compared. An empty rectangle
// declares the tensor.
struct SaveItem {
  TensorSpec tensor;
  Rect rect;
  const std::byte* data = nullptr;
  // Instead of data, for what lies elsewhere and stays as it is: puts the elements into memory that begins at
  // a page. Called in the background after begin(), by one thread, at most once; destroyed when the last of a
  // save's have been called or the save has failed. What it throws fails the save.
  std::function<void(std::span<std::byte> into)> read = {};
};

struct SaveRequest {
  int64_t step = 0;
  nlohmann::json meta = nlohmann::json::object();  // rank 0's counts
  std::vector<SaveItem> items;
  std::vector<Asset> assets;  // rank 0's count
};

struct SaveResult {
  enum class State : uint8_t {
    idle,       // nothing is in flight, and nothing has ended since the last poll
    writing,    // in flight
    committed,  // durable under its name
    present,    // a whole checkpoint of this step was there already
    busy,       // not begun: the save before it is still in flight
    failed,     // `message` says why; nothing is left of it
  };
  State state = State::idle;
  int64_t step = 0;
  std::string path;                    // of the checkpoint
  std::string message;                 // of the first rank that failed
  int64_t bytes = 0;                   // committed: of all shards
  double stall_s = 0;                  // committed: what begin() took on this rank
  double total_s = 0;                  // committed: from begin() to the commit
  std::vector<std::string> removed{};  // committed, on rank 0: older checkpoints that go
};

struct SaverOptions {
  std::string directory;
  int64_t keep = 3;  // never fewer than 2
  int64_t block_bytes = int64_t{4} << 20;
  // Memory of the snapshot, of this rank. What does not fit is written before begin() returns.
  int64_t pool_bytes = int64_t{1} << 40;
  int io_depth = 8;
  bool compare_replicas = true;  // hashes what other ranks write of this rank's state, before begin() returns
  std::string writer = "strata";
};

// All but the accessors is collective over the peers, from one thread. `files` and `peers` outlive this.
class Saver {
 public:
  // Makes the folder, claims it and removes what crashes left. Throws Error(environment) on all ranks when
  // that fails.
  Saver(FileSystem& files, Peers& peers, SaverOptions options);
  ~Saver();  // waits for background work; what is not committed then never is

  const std::vector<std::string>& removed_at_start() const { return removed_at_start_; }  // on rank 0

  // Optional, a step or more before begin() of the same step and items: takes reserving out of begin().
  // Returns before it is done. Throws Error(internal) when the ranks' items are not every tensor once.
  void reserve(int64_t step, std::span<const SaveItem> items);
  // Returns when the snapshot is taken: the items' memory may change. writing, present, busy, or failed (no
  // space).
  SaveResult begin(SaveRequest request);
  // Does not wait for any disk.
  SaveResult poll();
  // Polls until nothing is in flight, or `seconds` have passed (on rank 0's clock): then `writing`.
  SaveResult finish(double seconds = 1e9);
  bool in_flight() const { return phase_ != Phase::idle; }

 private:
  enum class Phase : uint8_t { idle, reserved, writing, committing };
  struct Commit;

  void plan(std::span<const SaveItem> items);
  struct Late {
    size_t entry = 0, item = 0;  // entry: of the shard, if this rank writes it
    bool written = false;
    TensorSpec tensor;
    Rect rect;
    std::function<void(std::span<std::byte>)> read;
  };
  std::vector<std::span<std::byte>> places_in_pool(const SaveRequest& request, std::vector<size_t>& beyond,
                                                   std::vector<Late>& late) const;
  void snapshot(const SaveRequest& request, std::span<const std::span<std::byte>> pooled,
                std::span<const size_t> beyond);
  void snapshot_reached(int64_t bytes);
  void await_snapshot(int64_t bytes) const;
  std::string write(std::span<const std::span<std::byte>> pooled, std::vector<Late> late);
  void write_late(const Late& late, std::span<std::byte> memory);
  std::string report() const;
  void start_commit(std::span<const std::string> reports);
  SaveResult fail_together(const std::string& own);
  void sweep(std::vector<std::string> trash);
  std::string abandon();
  void clear();

  FileSystem& files_;
  Peers& peers_;
  SaverOptions options_;
  std::string id_;  // of this job
  std::vector<std::string> removed_at_start_;
  // Of all saves with the same items.
  std::string planned_for_;  // what they were, packed
  SavePlan::Share share_;
  std::vector<TensorSpec> tensors_;
  PageMemory pool_;
  int64_t pool_bytes_ = 0;
  // Of the save in flight.
  Phase phase_ = Phase::idle;
  int64_t step_ = 0;
  bool present_ = false;
  std::string folder_, path_;
  std::vector<size_t> written_items_;        // of the request, in the order of the shard's entries
  std::unique_ptr<ShardWriter> shard_;       // null: this rank writes nothing
  std::vector<Digest> replica_digests_;      // of items that others write
  std::atomic<int64_t> snapshot_bytes_ = 0;  // of the pool that hold it already
  std::string snapshot_failure_;             // "" or what went wrong, when it has ended
  std::future<std::string> background_;      // "" or what went wrong
  std::unique_ptr<Commit> commit_;           // on rank 0
  nlohmann::json meta_;
  std::vector<Asset> assets_;
  double stall_s_ = 0, began_s_ = 0;
  std::future<void> sweeping_;  // of saves before; on rank 0
};

}  // namespace strata
