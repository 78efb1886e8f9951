// SPDX-License-Identifier: Apache-2.0
// The collectives over any Transport: every member talks to every other directly. A reduction moves slices of
// bounded size all-to-all and adds them up as tree_reduce says; so its bits do not depend on the transport.
#pragma once

#include <vector>

#include "core/dist/collective.h"
#include "parallel/comm/transport.h"

namespace strata {

// Working memory of `op` among `size` members: at most about 1 MiB per member and 64 MiB in all.
int64_t byte_collective_scratch(const Collective& op, int size);

class ByteCollectives {
 public:
  // Of member `rank` of `size`, at least two. `transport` must live as long.
  ByteCollectives(Transport& transport, int rank, int size)
      : transport_(transport), rank_(rank), size_(size) {}

  // Does `op`, whose tensors lie in host memory, before it returns. `scratch`: byte_collective_scratch()
  // bytes, 64-byte aligned. Throws TransportFailure.
  void run(const Collective& op, std::byte* scratch);
  void barrier();

 private:
  void all_gather(const Collective& op);
  void reduce_scatter(const Collective& op, std::byte* scratch);
  void all_reduce(const Collective& op, std::byte* scratch);
  void all_to_all(const Collective& op);
  void broadcast(const Collective& op);
  void exchange(const Collective& op);

  // Everybody's `shares` of `values` (in `unit`s of bytes) become everybody's.
  void gather_shares(std::byte* values, int64_t count, int64_t unit);
  // Calls body(peer, place of the peer among the others) for every other member, next in rank first.
  template <typename Body>
  void for_others(const Body& body);
  void send(int peer, const std::byte* data, int64_t bytes) { sends_.push_back({peer, data, bytes}); }
  void receive(int peer, std::byte* data, int64_t bytes) { receives_.push_back({peer, data, bytes}); }
  void flush();  // exchanges what was collected
  // One slice of a reduction: `own` and what the others' slots hold, added up into `to`.
  void reduce_slots(const Collective& op, const std::byte* own, const std::byte* slots, int64_t slot,
                    std::byte* to, int64_t count);

  Transport& transport_;
  int rank_;
  int size_;
  // Kept between operations, so that none allocates.
  std::vector<SendBytes> sends_;
  std::vector<ReceiveBytes> receives_;
  std::vector<const std::byte*> inputs_;
};

}  // namespace strata
