// SPDX-License-Identifier: Apache-2.0
// Moves bytes between the members of one communicator. All that a new medium has to bring: the collectives
// are made of it (byte_collectives.h), and so are the same everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

namespace strata {

struct SendBytes {
  int peer;
  const std::byte* data;
  int64_t bytes;
};
struct ReceiveBytes {
  int peer;
  std::byte* data;
  int64_t bytes;
};

// Why bytes did not move. `aborted`: another part of the job failed first, and `what()` is its reason.
class TransportFailure : public std::runtime_error {
 public:
  TransportFailure(const std::string& reason, bool aborted = false)
      : std::runtime_error(reason), aborted(aborted) {}
  bool aborted;
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Sends and receives all of these and returns when every byte has arrived and every sent one may be
  // overwritten. Peers are places in the member list, never the caller's own; from one member to another,
  // messages match in order; both sides name the same size, which may be 0. No send may be assumed to leave
  // before its receive is posted. Called by one thread at a time. Throws TransportFailure; no memory that was
  // passed is touched after.
  virtual void exchange(std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives) = 0;
};

}  // namespace strata
