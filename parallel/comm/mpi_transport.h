// SPDX-License-Identifier: Apache-2.0
// Bytes over one MPI communicator. Nothing blocks inside MPI: requests are polled, and so is the job's abort.
#pragma once

#include <mpi.h>

#include <vector>

#include "parallel/comm/abort_state.h"
#include "parallel/comm/transport.h"

namespace strata {

// Throws TransportFailure with MPI's own words when `code` is not success.
void mpi_check(int code, const char* call);

// A copy of the communicator of all ranks, whose errors return. Collective.
MPI_Comm duplicate_world();

class MpiTransport : public Transport {
 public:
  struct Options {
    bool synchronous_sends = false;
    int64_t largest_message = int64_t{1} << 20;
  };
  // Owns `comm`, whose errors must return. `members` are the ranks of the job, for messages.
  MpiTransport(MPI_Comm comm, std::vector<int> members, const AbortState& abort, const Options& options);
  ~MpiTransport() override;

  void exchange(std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives) override;

 private:
  struct Expected {  // of the request with the same index; sends are not looked at
    int peer = -1;
    int bytes = 0;
  };
  void post(std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives);
  void finish(int index, const MPI_Status& status, int code) const;
  void give_up();

  MPI_Comm comm_;
  std::vector<int> members_;
  const AbortState& abort_;
  Options options_;
  // Kept between operations, so that none allocates.
  std::vector<MPI_Request> requests_;
  std::vector<Expected> expected_;
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

}  // namespace strata
