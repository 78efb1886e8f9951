// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/mpi_notices.h"

#include <algorithm>

#include "core/base/check.h"
#include "parallel/comm/mpi_transport.h"

namespace strata {

MpiNotices::MpiNotices(int ranks) : comm_(duplicate_world()), outgoing_(static_cast<size_t>(ranks)) {}

MpiNotices::~MpiNotices() {
  // A message that its receiver never takes keeps its memory: MPI may still read it. So does the
  // communicator, whose freeing would wait for all ranks.
  for (std::unique_ptr<Outgoing>& out : outgoing_) {
    int done = 1;
    if (out) MPI_Test(&out->request, &done, MPI_STATUS_IGNORE);
    if (!done) static_cast<void>(out.release());
  }
}

void MpiNotices::post(int to, std::string_view bytes) {
  check(bytes.size() <= kLongest, "[notice] {} bytes, {} fit", bytes.size(), kLongest);
  std::unique_ptr<Outgoing>& out = outgoing_[static_cast<size_t>(to)];
  if (!out) out = std::make_unique<Outgoing>();
  int done = 0;
  if (MPI_Test(&out->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || !done) return;  // lost
  std::copy(bytes.begin(), bytes.end(), out->bytes.begin());
  if (MPI_Isend(out->bytes.data(), static_cast<int>(bytes.size()), MPI_CHAR, to, 0, comm_, &out->request) !=
      MPI_SUCCESS)
    out->request = MPI_REQUEST_NULL;
}

std::optional<NoticeChannel::Notice> MpiNotices::poll() {
  int come = 0, bytes = 0;
  MPI_Status status;
  if (MPI_Iprobe(MPI_ANY_SOURCE, 0, comm_, &come, &status) != MPI_SUCCESS || !come) return std::nullopt;
  MPI_Get_count(&status, MPI_CHAR, &bytes);
  Notice notice{status.MPI_SOURCE, std::string(static_cast<size_t>(bytes), '\0')};
  if (MPI_Recv(notice.bytes.data(), bytes, MPI_CHAR, notice.from, 0, comm_, MPI_STATUS_IGNORE) != MPI_SUCCESS)
    return std::nullopt;
  return notice;
}

}  // namespace strata
