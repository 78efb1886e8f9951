// SPDX-License-Identifier: Apache-2.0
// What went wrong in a file operation: an errno, or one of two conditions that errno has no number for.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/error.h"

namespace strata {

// Codes beside errno (which stays below 4096 on Linux).
inline constexpr int kEndOfFile = 1 << 16;      // the file ends before the range that was asked for
inline constexpr int kCrashed = (1 << 16) + 1;  // simulated power cut; every later call answers this

// "No space left on device (ENOSPC)".
std::string io_code_text(int code);

// A file operation that failed, with what is known of it.
struct IoFailure {
  std::string action;  // "read", "write", "open", "rename to /a/b": completes "cannot ..."
  std::string path;
  int code = 0;         // errno, kEndOfFile or kCrashed
  int64_t offset = -1;  // first byte of the range; -1 when the operation has none
  int64_t bytes = 0;    // length of the range
  int64_t done = 0;     // bytes moved before the failure
  bool direct = false;  // the file was opened past the page cache
};

// Fault::data when the file is too short, else Fault::environment. code() lets a caller single out what it
// can live with (a full disk keeps training going and retries later).
class IoError : public Error {
 public:
  explicit IoError(const IoFailure& failure);
  int code() const { return code_; }

 private:
  int code_;
};

// A value, or the code that says why there is none.
template <typename T>
struct IoOutcome {
  T value{};
  int code = 0;
};

}  // namespace strata
