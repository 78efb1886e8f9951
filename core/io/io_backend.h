// SPDX-License-Identifier: Apache-2.0
// What an engine has to do for AsyncIo: run single attempts. Bookkeeping, short transfers, depth and
// statistics are AsyncIo's. Internal to core/io.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/io/async_io.h"

namespace strata {

class IoBackend {
 public:
  struct Attempt {
    int slot = 0;  // names the attempt when it ends; at most one per slot at a time
    IoRequest::Op op = IoRequest::Op::read;
    File* file = nullptr;
    int64_t offset = 0;
    std::span<std::byte> memory;
  };
  struct Ended {
    int slot = 0;
    int64_t result = 0;  // bytes, or a negated code
  };

  virtual ~IoBackend() = default;  // nothing is in flight any more
  virtual std::string_view name() const = 0;
  // Queues one attempt; it need not begin before flush().
  virtual void start(const Attempt& attempt) = 0;
  virtual void flush() {}
  // Appends attempts that ended. Waits until there is one or `until` has come; may return early with none.
  virtual void reap(std::vector<Ended>& ended, AsyncIo::Clock::time_point until) = 0;
  // Attempts that have not begun end with -ECANCELED.
  virtual void cancel() = 0;

  virtual std::string register_buffers(std::span<const std::span<std::byte>>) { return none("buffers"); }
  virtual std::string register_file(const File&) { return none("files"); }
  virtual void forget_file(const File&) {}

 private:
  std::string none(const char* what) const { return std::string(name()) + " has no registered " + what; }
};

// Runs an attempt by the file's own blocking call.
int64_t run_attempt(const IoBackend::Attempt& attempt);

struct UringOutcome {
  std::unique_ptr<IoBackend> backend;  // null when io_uring cannot be used
  std::string reason;                  // then why
};
// uring.cpp, or no_uring.cpp in a build without liburing.
UringOutcome make_uring_backend(int depth);

std::unique_ptr<IoBackend> make_thread_backend(int threads);

}  // namespace strata
