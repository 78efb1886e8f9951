// SPDX-License-Identifier: Apache-2.0
// A store whose drive answers late: what is read comes, and what is written is looked at, a while after it
// was asked for and not before it is waited for. Memory touched in between shows in the bits.
#pragma once

#include <chrono>
#include <map>
#include <memory>

#include "core/program/backing_store.h"

namespace strata {

class SlowStore : public BackingStore {
 public:
  SlowStore(std::unique_ptr<BackingStore> store, std::chrono::microseconds latency)
      : store_(std::move(store)), latency_(latency) {}

  // Most transfers begun and not ended at once, by lane.
  size_t most_reads() const { return reads_.most; }
  size_t most_writes() const { return writes_.most; }

  int64_t tile_bytes() const override { return store_->tile_bytes(); }
  Ticket read(const Value& value, int64_t offset, std::span<std::byte> into) override;
  Ticket write(const Value& value, int64_t offset, std::span<const std::byte> from) override;
  void wait(Ticket ticket) override;
  void commit(int64_t step, std::string_view note) override;
  int64_t committed_step() const override { return store_->committed_step(); }

 private:
  struct Asked {
    Value value;
    int64_t offset = 0;
    std::span<std::byte> memory;
    std::chrono::steady_clock::time_point ready;
  };
  struct Side {  // used by its lane's thread
    std::map<uint64_t, Asked> asked;
    uint64_t next = 0;
    size_t most = 0;
  };
  Ticket ask(Lane lane, const Value& value, int64_t offset, std::span<std::byte> memory);
  Side& side(Lane lane) { return lane == Lane::read ? reads_ : writes_; }

  std::unique_ptr<BackingStore> store_;
  std::chrono::microseconds latency_;
  Side reads_, writes_;
};

}  // namespace strata
