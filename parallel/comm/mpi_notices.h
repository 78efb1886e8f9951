// SPDX-License-Identifier: Apache-2.0
// Small messages over an MPI communicator of their own.
#pragma once

#include <mpi.h>

#include <array>
#include <memory>
#include <vector>

#include "core/dist/communicator.h"

namespace strata {

class MpiNotices : public NoticeChannel {
 public:
  explicit MpiNotices(int ranks);  // collective; throws TransportFailure
  ~MpiNotices() override;

  void post(int to, std::string_view bytes) override;
  std::optional<Notice> poll() override;

 private:
  struct Outgoing {
    MPI_Request request = MPI_REQUEST_NULL;
    std::array<char, kLongest> bytes;
  };
  MPI_Comm comm_;
  std::vector<std::unique_ptr<Outgoing>> outgoing_;  // by receiver; made when first used
};

}  // namespace strata
