// SPDX-License-Identifier: Apache-2.0
// A communicator of host memory over a transport of bytes.
#pragma once

#include <atomic>
#include <memory>

#include "core/dist/communicator.h"
#include "parallel/comm/byte_collectives.h"

namespace strata {

class TransportCommunicator : public Communicator {
 public:
  // `world` must outlive it. An operation that fails aborts the job before it throws.
  TransportCommunicator(World& world, GroupSpec spec, int rank, std::unique_ptr<Transport> transport);

  void run(Stream& stream, const Collective& op, std::byte* scratch) override;
  void run_barrier() override;
  int64_t scratch_bytes(const Collective& op, DeviceKind device) const override;

 private:
  template <typename Work>
  void guarded(CollectiveKind kind, int64_t bytes, Work&& work);

  World& world_;
  std::unique_ptr<Transport> transport_;
  ByteCollectives collectives_;
  std::atomic<bool> busy_ = false;
};

}  // namespace strata
