// SPDX-License-Identifier: Apache-2.0
// Asynchronous reads and writes of open files: requests are submitted with a token of the caller's choice, go
// on while the caller computes, and are collected by token or in the order they end.
//
// Made by FileSystem::make_async_io. On the machine's own files: io_uring, or threads where the kernel or the
// build has no io_uring (note() says why). On memory files: a twin that ends requests out of order, from a
// seed.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/io/file.h"
#include "core/io/transfer.h"

namespace strata {

struct IoRequest {
  enum class Op : uint8_t { read, write, sync };
  Op op = Op::read;
  File* file = nullptr;
  int64_t offset = 0;
  std::span<std::byte> memory;  // filled by a read; a write only reads it
  uint64_t token = 0;           // not that of another request still to be collected

  static IoRequest read(File& file, int64_t offset, std::span<std::byte> into, uint64_t token) {
    return {Op::read, &file, offset, into, token};
  }
  static IoRequest write(File& file, int64_t offset, std::span<const std::byte> from, uint64_t token) {
    return {Op::write, &file, offset, {const_cast<std::byte*>(from.data()), from.size()}, token};
  }
  // File::sync for the writes collected before it was submitted; it does not wait for others.
  static IoRequest sync(File& file, uint64_t token) { return {Op::sync, &file, 0, {}, token}; }
};

struct IoCompletion {
  IoRequest request;
  int64_t bytes = 0;  // moved; all of request.memory unless code != 0
  int code = 0;       // errno, kEndOfFile, kCrashed, ECANCELED; 0 is success
};

// Throws the IoError that File's own calls would throw for a failed request.
void require(const IoCompletion& completion);

struct IoStats {
  struct Direction {
    int64_t requests = 0;  // ended, failed ones included
    int64_t bytes = 0;
    double in_flight_s = 0;  // sum over requests, from submission until the engine saw the end
  };
  Direction read, write, sync;
  int64_t failed = 0;
  int64_t resubmitted = 0;  // attempts after the first, for short or interrupted transfers
  double busy_s = 0;        // time with at least one request in flight: bytes / busy_s is the rate reached
  int peak_in_flight = 0;
};

enum class AsyncEngine : uint8_t { automatic, uring, threads };

struct AsyncIoOptions {
  int depth = 32;  // most requests in flight; 4-8 of 1 MiB keep a disk busy
  AsyncEngine engine = AsyncEngine::automatic;
  int threads = 4;  // of the thread engine: what it can have on the disk at once
};

class IoBackend;  // what differs between engines (io_backend.h)

// Calls come from one thread at a time (the caller's lock or its own thread); engines share nothing, so use
// one per lane. A request's memory and file live, and the memory is not touched, until it has been collected.
// Requests in flight are not ordered, not even on one range. Ranges on direct files obey File::alignment
// (ContractError).
class AsyncIo {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::nanoseconds kForever = std::chrono::nanoseconds::max();

  AsyncIo(std::unique_ptr<IoBackend> backend, int depth, std::string note = "");
  // Cancels what has not begun and waits for the rest, so that no memory is touched afterwards. What was not
  // collected is lost without a word.
  ~AsyncIo();
  AsyncIo(const AsyncIo&) = delete;
  AsyncIo& operator=(const AsyncIo&) = delete;

  // Starts requests. Blocks while `depth` requests are in flight; failures of the request itself come with
  // its completion.
  void submit(const IoRequest& request) { submit(std::span(&request, 1)); }
  void submit(std::span<const IoRequest> requests);

  // The completion of one request, when it has ended. ContractError when no such request is to be collected.
  IoCompletion wait(uint64_t token);
  // The next one in order of ending; nothing when none is outstanding or the time is over (0: only look).
  std::optional<IoCompletion> wait_any(std::chrono::nanoseconds timeout = kForever);
  // All that are outstanding, in order of ending.
  std::vector<IoCompletion> wait_all();
  // Makes requests that have not begun end with ECANCELED; all still have to be collected.
  void cancel();

  // Tells the kernel once about memory or a file that many requests will use, which saves CPU time for each
  // of them where the engine can. Optional; the answer is empty, or says why nothing was gained
  // (RLIMIT_MEMLOCK too low, no such feature): requests work all the same. Buffers replace those registered
  // before, with nothing in flight, and stay mapped until replaced or the engine ends; a file is forgotten
  // before it is closed.
  std::string register_buffers(std::span<const std::span<std::byte>> buffers);
  std::string register_file(const File& file);
  void forget_file(const File& file);

  std::string_view name() const;  // "io_uring", "threads", "memory"
  const std::string& note() const {
    return note_;
  }  // why this engine and not a better one; empty when it is the best
  int depth() const { return static_cast<int>(slots_.size()); }
  int in_flight() const { return in_flight_; }
  const IoStats& stats() const { return stats_; }

 private:
  struct Slot {
    IoRequest request;
    Transfer transfer;
    Clock::time_point submitted;
  };

  void begin(const IoRequest& request);
  void start_attempt(int index);
  void reap(Clock::time_point until);  // takes in what has ended; waits for at least one until then
  void attempt_ended(int index, int64_t result);
  void end(int index, int code);
  IoCompletion collect(std::deque<IoCompletion>::iterator which);

  std::unique_ptr<IoBackend> backend_;
  std::string note_;
  std::vector<Slot> slots_;
  std::vector<int> free_slots_;
  std::unordered_map<uint64_t, bool> tokens_;  // of requests to be collected; true: still in flight
  std::deque<IoCompletion> ended_;             // to be collected
  Clock::time_point busy_since_;
  int in_flight_ = 0;
  IoStats stats_;
};

// ---- engines, for make_async_io and tests
// ------------------------------------------------------------------

// io_uring if it is there, else threads. AsyncEngine::uring without io_uring is an Error(environment).
std::unique_ptr<AsyncIo> make_kernel_async_io(const AsyncIoOptions& options);

}  // namespace strata
