// SPDX-License-Identifier: Apache-2.0
// Which calls of a fault-injecting file system go wrong, and how. Tests enumerate crash points by counting
// the calls of a clean run and repeating it with a crash at each.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace strata {

enum class IoCall : uint8_t {
  any,  // in an IoFault: matches every call
  open,
  read,
  write,
  sync,
  size,
  truncate,
  preallocate,
  info,
  list,
  make_directory,
  rename,
  remove,
  sync_directory,
  map,
  volume,
};

struct IoFault {
  enum class Kind : uint8_t {
    error,           // the call fails with `code` and has no effect
    short_transfer,  // a read or write moves only part of its bytes; other calls are not affected
    flip_bit,  // one bit of what a read returns, or a write stores, is wrong; other calls are not affected
    delay,     // the call takes `delay` longer
    crash,     // the call has its whole effect or none, then the power is gone: it and every later call fail
  };
  Kind kind = Kind::error;
  int64_t at = 0;             // the at-th matching call after the fault was injected; 0 is the next
  int64_t times = 1;          // how many matching calls from there on; negative: all
  IoCall call = IoCall::any;  // which calls match
  std::string path = {};      // only those on a path that contains this
  int code = EIO;
  std::chrono::microseconds delay{0};
};

// Faults waiting for their call. Not synchronised.
class FaultPlan {
 public:
  // What happens to one call.
  struct Outcome {
    int code = 0;
    bool short_transfer = false, flip_bit = false, crash = false;
    std::chrono::microseconds delay{0};
  };

  void add(IoFault fault) { faults_.push_back({std::move(fault)}); }
  void clear() { faults_.clear(); }
  // Counts the call and tells its fate.
  Outcome next(IoCall call, std::string_view path);
  int64_t calls() const { return calls_; }

 private:
  struct Waiting {
    IoFault fault;
    int64_t matched = 0;
  };
  std::vector<Waiting> faults_;
  int64_t calls_ = 0;
};

}  // namespace strata
