// SPDX-License-Identifier: Apache-2.0
// Where values of Tier::nvme live: what the load, store and commit actions of a program call. One per rank;
// made by offload/tile_store, or in memory by a test. It moves bytes and keeps versions; what they mean is
// not its business.
//
// A value is kept as tiles: `tile_bytes()` each, the last one shorter. Sizes are multiples of kStoreAlignment
// and so are addresses of memory that is read into or written from: bytes go to the drive past the page
// cache, from where they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/program/value.h"

namespace strata {

inline constexpr int64_t kStoreAlignment =
    4096;  // fixed, so that a plan does not depend on the machine's drives

// How a value is kept on disk. It decides the space: `slots` (1 or 2) times its bytes if versioned, else
// once.
enum class Lifetime : uint8_t {
  scratch,    // gone with the process: gradients, boundary activations; written in place, no part of a commit
  fixed,      // written before the first commit and never again: frozen weights
  versioned,  // a write makes a new version, a commit makes it the one that a restart finds: weights, state
};

struct StoredValue {
  Value value;
  int64_t bytes = 0;  // > 0, multiple of kStoreAlignment
  Lifetime lifetime = Lifetime::versioned;

  friend bool operator==(const StoredValue&, const StoredValue&) = default;
};

class BackingStore {
 public:
  enum class Lane : uint8_t { read, write };
  struct Ticket {
    Lane lane = Lane::read;
    uint64_t id = 0;
  };

  virtual ~BackingStore() = default;

  // Ranges of a value begin and end at multiples of this, or end with the value.
  virtual int64_t tile_bytes() const = 0;

  // These begin to move a range of a value. Memory must stay, and must not be touched (a write: not be
  // changed), until wait() has returned. A call blocks while the engine has all it may have in flight; it
  // never waits for the caller. Reads are called and waited for by one thread at a time, writes by one other;
  // any number may be outstanding. A range that is being written must have been waited for before it is read
  // or written again.
  //
  // Reads the newest version written in this run, committed or not; before the first write, the committed
  // one. What was never written is a ContractError.
  virtual Ticket read(const Value& value, int64_t offset, std::span<std::byte> into) = 0;
  // Writes into the new version that the next commit takes; tiles not written keep the version they have.
  // Where no slot is free, because a snapshot pins old versions, it waits until one is (back-pressure).
  virtual Ticket write(const Value& value, int64_t offset, std::span<const std::byte> from) = 0;
  // Throws IoError (naming value, tile and file) for a drive's fault, Error(data) for bytes that are not
  // those written. After a failed write the store can only be closed and opened again, as of the last commit.
  // Each ticket once.
  virtual void wait(Ticket ticket) = 0;

  // Makes all tiles written since the last commit the ones that a restart finds: all or none, whatever
  // happens while it runs. Blocks until durable. Called on the write lane with no write outstanding; reads
  // may go on meanwhile. `step`: optimizer steps done, larger than at the last commit. `note`: a few KiB that
  // the caller wants back with it.
  virtual void commit(int64_t step, std::string_view note = {}) = 0;
  // Of the last commit, in this run or before; -1: none, all content is still to be written.
  virtual int64_t committed_step() const = 0;
};

}  // namespace strata
