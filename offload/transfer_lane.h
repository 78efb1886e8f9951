// SPDX-License-Identifier: Apache-2.0
// Tiles on their way between memory and files, in one direction: as many at once
// as the AsyncIo given is deep (the lane's credits), waited for by ticket, their sums (CRC-32C) compared,
// tried again where that may help; a drive that stops answering is told of. One thread at a time uses a lane.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/io/async_io.h"

namespace strata {

struct TileTransfer {
  IoRequest::Op op = IoRequest::Op::read;
  File* file = nullptr;
  int64_t offset = 0;
  std::span<std::byte> memory;
  uint32_t crc = 0;  // a read must give bytes of this sum; of a write it is what was sent
  int64_t tile = 0;  // names it in messages
};

struct TransferLaneOptions {
  int attempts = 3;  // of a transfer that fails with EIO, or a read that gives other bytes than were written
  std::chrono::milliseconds told_after{10'000};       // waiting so long without an answer calls `waiting`
  std::chrono::milliseconds given_up_after{120'000};  // then ETIMEDOUT
};

struct TransferLaneStats {
  IoStats io;
  int64_t repeated = 0;  // attempts after the first
  double stalled_s = 0;  // no answer within told_after, summed
};

class TransferLane {
 public:
  using Describe = std::function<std::string(int64_t tile)>;  // "tile 3 of state 5 tier=nvme"
  using Waiting =
      std::function<void(const std::string& path, double seconds)>;  // called while a drive is silent

  TransferLane(std::unique_ptr<AsyncIo> io, const TransferLaneOptions& options, Describe describe,
               Waiting waiting);

  // A ticket is for any number of transfers that are waited for together.
  uint64_t open_ticket();
  // Starts one; blocks while all credits are in flight. Memory must stay until wait().
  void begin(uint64_t ticket, const TileTransfer& transfer);
  // Throws the first failure of the ticket's transfers, after all of them have ended.
  void wait(uint64_t ticket);
  // Makes what was written to these files, and waited for, durable. Throws the first failure, after all have
  // ended.
  void sync(std::span<File* const> files);
  // Every ticket has been waited for.
  bool idle() const { return tickets_.empty(); }

  AsyncIo& io() { return *io_; }
  TransferLaneStats stats() const { return {io_->stats(), repeated_, stalled_s_}; }

 private:
  struct InFlight {
    TileTransfer transfer;
    uint64_t ticket = 0;
    int attempts = 0;
  };
  struct Ticket {
    int64_t outstanding = 0;
    std::exception_ptr failure;
  };

  void submit(uint64_t token);
  void collect_one();
  IoCompletion next_completion();
  void ended(const IoCompletion& completion);
  std::exception_ptr failure_of(const TileTransfer& transfer, const IoCompletion& completion) const;
  std::exception_ptr damage(const TileTransfer& transfer, uint32_t crc) const;

  std::unique_ptr<AsyncIo> io_;
  TransferLaneOptions options_;
  Describe describe_;
  Waiting waiting_;
  std::unordered_map<uint64_t, InFlight> transfers_;  // by token
  std::unordered_map<uint64_t, Ticket> tickets_;
  uint64_t next_token_ = 0, next_ticket_ = 0;
  int64_t repeated_ = 0;
  double stalled_s_ = 0;
};

}  // namespace strata
