// SPDX-License-Identifier: Apache-2.0
// The bookkeeping of one range that may take several system calls: short transfers go on where they stopped,
// interrupted calls are repeated, the end of a file is told from a short read. Shared by File and AsyncIo.
#pragma once

#include <cerrno>
#include <cstdint>

#include "core/io/io_error.h"

namespace strata {

class Transfer {
 public:
  enum class Direction : uint8_t { read, write };
  enum class State : uint8_t { unfinished, finished, failed };

  Transfer() = default;
  // `block` is what offsets and lengths of a direct file are multiples of; 1 for a buffered file.
  Transfer(Direction direction, int64_t bytes, int64_t block)
      : direction_(direction), bytes_(bytes), block_(block) {}

  int64_t done() const { return done_; }
  // Length of the next attempt. Linux moves at most 2^31 - 4096 bytes per call.
  int64_t next_bytes() const { return bytes_ - done_ < kMaxAttempt ? bytes_ - done_ : kMaxAttempt; }
  int code() const { return code_; }

  // Takes the result of one attempt: bytes moved, or a negated code.
  State advance(int64_t result) {
    if (result < 0) {
      const int code = static_cast<int>(-result);
      return code == EINTR || code == EAGAIN ? stall(code) : fail(code);
    }
    const int64_t before = done_;
    done_ += result;
    if (done_ >= bytes_) return State::finished;
    if (result == 0) return fail(direction_ == Direction::read ? kEndOfFile : EIO);
    if (done_ % block_ != 0) {
      // Part of a block: a direct read does that at the end of the file only; a direct write must repeat the
      // block.
      if (direction_ == Direction::read) return fail(kEndOfFile);
      done_ -= done_ % block_;
      if (done_ == before) return stall(EIO);
    }
    stalls_ = 0;
    return State::unfinished;
  }

 private:
  static constexpr int64_t kMaxAttempt = int64_t{1} << 30;
  static constexpr int kMaxStalls = 1000;  // attempts in a row without progress before giving up

  State fail(int code) {
    code_ = code;
    return State::failed;
  }
  State stall(int code) { return ++stalls_ < kMaxStalls ? State::unfinished : fail(code); }

  Direction direction_ = Direction::read;
  int64_t bytes_ = 0, block_ = 1, done_ = 0;
  int code_ = 0, stalls_ = 0;
};

}  // namespace strata
