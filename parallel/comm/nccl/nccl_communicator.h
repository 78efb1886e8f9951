// SPDX-License-Identifier: Apache-2.0
// Every collective of GPU tensors as NCCL calls (nccl_world.h says what is promised); what lies on the host
// goes to the communicator it wraps.
#pragma once

#include <memory>
#include <vector>

#include "parallel/comm/decorator.h"
#include "parallel/comm/nccl/nccl_link.h"

namespace strata {

class NcclCommunicator final : public CommunicatorDecorator {
 public:
  // `host` takes operands of the host, also on a stream of the GPU; `link` connects the same members.
  NcclCommunicator(std::unique_ptr<Communicator> host, std::unique_ptr<NcclLink> link, bool ordered)
      : CommunicatorDecorator(std::move(host)), link_(std::move(link)), ordered_(ordered) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override;
  int64_t scratch_bytes(const Collective& op, DeviceKind device) const override;

 private:
  // Reductions with `scratch` are the members' own sums.
  void run_on_gpu(Stream& stream, const Collective& op, std::byte* scratch);
  void exchange(Stream& stream, const Collective& op);
  void all_to_all(Stream& stream, const Collective& op);
  void reduce_scatter(Stream& stream, const Collective& op, std::byte* scratch);
  void all_reduce(Stream& stream, const Collective& op, std::byte* scratch);

  struct Piece {  // bytes of the operation that go to or come from a member
    int peer;
    std::byte* data;
    int64_t bytes;
  };
  // Sends and receives at once; empty pieces are left out on both sides.
  void transport(Stream& stream, const Collective& op, const std::vector<Piece>& sends,
                 const std::vector<Piece>& receives);
  void add_up(Stream& stream, const Collective& op, std::byte* own, std::byte* slots, int64_t slot,
              std::byte* to, int64_t bytes);
  // Calls body(peer, place of the peer among the others) for every other member, next in rank first.
  template <typename Body>
  void for_others(const Body& body) const;

  std::unique_ptr<NcclLink> link_;  // ends first: a member of this class, not of the one below
  bool ordered_;
};

}  // namespace strata
