// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/mpi_transport.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "parallel/comm/backoff.h"

namespace strata {

void mpi_check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
  throw TransportFailure(
      fmt::format("{}: {}", call, std::string_view(text.data(), static_cast<size_t>(length))));
}

MPI_Comm duplicate_world() {
  MPI_Comm comm = MPI_COMM_NULL;
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  mpi_check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return comm;
}

MpiTransport::MpiTransport(MPI_Comm comm, std::vector<int> members, const AbortState& abort,
                           const Options& options)
    : comm_(comm), members_(std::move(members)), abort_(abort), options_(options) {}

MpiTransport::~MpiTransport() {
  // Freeing is collective: members that stopped at different points would wait for each other.
  if (!abort_.aborted()) MPI_Comm_free(&comm_);
}

void MpiTransport::post(std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives) {
  constexpr int kTag = 0;  // messages of one communicator match in order
  const auto pieces = [&](int64_t bytes, const auto& each) {
    int64_t at = 0;
    do {
      const int64_t size = std::min(bytes - at, options_.largest_message);
      requests_.push_back(MPI_REQUEST_NULL);
      each(at, static_cast<int>(size), &requests_.back());
      at += size;
    } while (at < bytes);
  };
  for (const ReceiveBytes& receive : receives)
    pieces(receive.bytes, [&](int64_t at, int size, MPI_Request* request) {
      expected_.push_back({receive.peer, size});
      mpi_check(MPI_Irecv(receive.data + at, size, MPI_BYTE, receive.peer, kTag, comm_, request),
                "MPI_Irecv");
    });
  const auto isend = options_.synchronous_sends ? MPI_Issend : MPI_Isend;
  for (const SendBytes& send : sends)
    pieces(send.bytes, [&](int64_t at, int size, MPI_Request* request) {
      mpi_check(isend(send.data + at, size, MPI_BYTE, send.peer, kTag, comm_, request), "MPI_Isend");
    });
}

void MpiTransport::finish(int index, const MPI_Status& status, int code) const {
  const bool receive = static_cast<size_t>(index) < expected_.size();
  const Expected expected = receive ? expected_[static_cast<size_t>(index)] : Expected{};
  const auto size_fault = [&](std::string_view sent) {
    return TransportFailure(fmt::format("rank {} sends {} bytes where {} are expected",
                                        members_[static_cast<size_t>(expected.peer)], sent, expected.bytes));
  };
  if (code != MPI_SUCCESS) {
    int kind = MPI_SUCCESS;
    MPI_Error_class(code, &kind);
    if (receive && kind == MPI_ERR_TRUNCATE) throw size_fault("more");
    mpi_check(code, receive ? "MPI_Irecv" : "MPI_Isend");
  }
  if (!receive) return;
  int bytes = 0;
  mpi_check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  if (bytes != expected.bytes) throw size_fault(std::to_string(bytes));
}

void MpiTransport::exchange(std::span<const SendBytes> sends, std::span<const ReceiveBytes> receives) {
  if (abort_.aborted()) throw TransportFailure(abort_.reason(), true);
  requests_.clear();
  expected_.clear();
  try {
    post(sends, receives);
    indices_.resize(requests_.size());
    statuses_.resize(requests_.size());
    for (Backoff backoff;; backoff.pause()) {
      int done = 0;
      const int code = MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &done,
                                    indices_.data(), statuses_.data());
      if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) mpi_check(code, "MPI_Testsome");
      if (done == MPI_UNDEFINED) return;  // no request is left
      if (done > 0) backoff = {};         // bytes move: look again at once
      for (int i = 0; i < done; ++i) {
        const MPI_Status& status = statuses_[static_cast<size_t>(i)];
        finish(indices_[static_cast<size_t>(i)], status,
               code == MPI_SUCCESS ? MPI_SUCCESS : status.MPI_ERROR);
      }
      if (abort_.aborted()) throw TransportFailure(abort_.reason(), true);
    }
  } catch (...) {
    give_up();
    throw;
  }
}

// Makes MPI let go of the caller's memory, as far as it can: what a peer has begun to write it may finish in
// the short while given here. The job is about to end.
void MpiTransport::give_up() {
  for (MPI_Request& request : requests_)
    if (request != MPI_REQUEST_NULL) MPI_Cancel(&request);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  for (int all = 0; !all && std::chrono::steady_clock::now() < end; sched_yield())
    if (MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &all, MPI_STATUSES_IGNORE) !=
        MPI_SUCCESS)
      break;
}

}  // namespace strata
