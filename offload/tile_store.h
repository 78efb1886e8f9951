// SPDX-License-Identifier: Apache-2.0
// BackingStore on drives: values as versioned tiles in one preallocated file per path, their checksums and
// slots in a map that commits replace as a whole. kill -9 and power cuts at any instant leave the last
// commit. Files and formats: store_format.md.
//
// Durability: with slots = 2 a commit flushes the tiles first, then the map. With slots = 1 versions are
// overwritten in place: commit() then only marks the step for snapshots, and an opened store has
// committed_step() -1.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/io/file_system.h"
#include "core/program/backing_store.h"
#include "offload/slot_table.h"
#include "offload/store_files.h"
#include "offload/transfer_lane.h"

namespace strata {

struct TileStoreOptions {
  std::vector<std::string> folders;  // one per drive; they exist
  std::vector<double> speeds = {};   // of each, any unit; empty: alike. Only for files made now
  std::string run;                   // identity: letters, digits, '-' and '_'
  int rank = 0;
  int slots = 2;
  int64_t tile_bytes = int64_t{1} << 20;
  int64_t spare_bytes = 0;                                          // room for versions that snapshots pin
  int read_credits = 32, write_credits = 16, snapshot_credits = 4;  // transfers in flight of each
  ExistingFiles existing = ExistingFiles::resume;
  Volumes volumes = Volumes::local_drives;
  AsyncEngine engine = AsyncEngine::automatic;
  int threads = 8;  // of the thread engine, in each direction
  TransferLaneOptions transfers = {};
  std::function<void(int64_t done, int64_t of)> progress = {};  // while files are filled
  TransferLane::Waiting waiting = {};  // a drive is silent; called by the lane that waits
};

// The plan that a store opened with these makes, for the same number of folders: its bytes are the files'
// sizes.
StorePlan plan_store(std::vector<StoredValue> values, const TileStoreOptions& options);

class TileSnapshot;

class TileStore : public BackingStore {
 public:
  // Throws what open_store_files throws.
  static std::unique_ptr<TileStore> open(FileSystem& files, const TileStoreOptions& options,
                                         std::vector<StoredValue> values);
  ~TileStore() override;  // waits for what is in flight; snapshots are gone by then

  int64_t tile_bytes() const override { return plan().shape.tile_bytes; }
  Ticket read(const Value& value, int64_t offset, std::span<std::byte> into) override;
  Ticket write(const Value& value, int64_t offset, std::span<const std::byte> from) override;
  void wait(Ticket ticket) override;
  void commit(int64_t step, std::string_view note = {}) override;
  int64_t committed_step() const override;

  // Of an opened store, before anything is read or written: the note of the last commit, the step of the
  // commit before it (-1: none), and making that one the last, durably, because another rank has not come so
  // far.
  const std::string& committed_note() const;
  int64_t step_before() const { return files_.map->before() ? files_.map->before()->step : -1; }
  void go_back();

  // Pins all versioned and fixed tiles of the last commit. Called at a commit: with slots = 1 before anything
  // more is written. The snapshot may then be read by another thread while training goes on; it does not
  // outlive the store.
  std::unique_ptr<TileSnapshot> pin();

  // Tells the kernel of memory that tiles are read into and written from, for less CPU time a byte. Nothing
  // in flight. Empty, or why nothing was gained.
  std::string register_memory(std::span<const std::span<std::byte>> memory);

  const StorePlan& plan() const { return files_.plan; }
  std::string_view engine() const { return reads_->io().name(); }
  const std::vector<std::string>& notes() const {
    return files_.notes;
  }  // what makes it slower than it could be
  TransferLaneStats read_stats() const { return reads_->stats(); }
  TransferLaneStats write_stats() const { return writes_->stats(); }
  double back_pressure_s() const;  // that writes waited for a snapshot to let a slot go

 private:
  friend class TileSnapshot;
  TileStore(FileSystem& files, const TileStoreOptions& options, StoreFiles opened);

  std::unique_ptr<TransferLane> make_lane(int credits);
  std::string describe(int64_t tile) const;
  // Tiles of a range: first and one past the last. ContractError for what is not one.
  std::pair<int64_t, int64_t> tiles_of(const Value& value, int64_t offset,
                                       std::span<const std::byte> memory) const;
  TileTransfer transfer(IoRequest::Op op, int64_t tile, SlotTable::Version version,
                        std::span<std::byte> memory) const;
  uint32_t take_slot(int64_t tile);
  void require_whole() const;

  FileSystem& file_system_;
  TileStoreOptions options_;
  StoreFiles files_;
  std::unique_ptr<TransferLane> reads_, writes_;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable slot_freed_;
  std::optional<SlotTable> slots_;  // always there; made anew by go_back()
  int64_t committed_step_ = -1;
  int64_t num_pinned_ = 0;
  bool written_since_commit_ = false;
  bool failed_ = false;             // a write or commit went wrong: what is newest is not known
  std::vector<char> file_written_;  // since the last commit, of each path
  double back_pressure_s_ = 0;
};

}  // namespace strata
