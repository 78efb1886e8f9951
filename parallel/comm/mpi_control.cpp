// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/mpi_control.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "core/base/error.h"
#include "core/base/log.h"
#include "parallel/comm/backoff.h"
#include "parallel/comm/mpi_transport.h"

namespace strata {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPoll{20};
constexpr size_t kLongestNotice = 8 << 10;

}  // namespace

MpiControl::MpiControl(AbortState& abort, std::chrono::milliseconds grace) : abort_(abort), grace_(grace) {
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  lowest_teller_ = size_;
  notices_ = duplicate_world();
  meetings_ = duplicate_world();
  thread_ = std::thread([this] { run(); });
}

MpiControl::~MpiControl() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MpiControl::abort(const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    if (!abort_.set(reason)) return;
    first_ = true;
  }
  changed_.notify_all();
}

void MpiControl::run() {
  std::optional<steady_clock::time_point> aborted_at;
  for (;;) {
    bool stopping = false, first = false, reported = false;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kPoll, [&] { return stopping_ || (first_ && !told_); });
      stopping = stopping_;
      first = first_;
      reported = reported_;
    }
    receive();
    if (first) tell();
    if (stopping) return;
    if (abort_.aborted() && !aborted_at) aborted_at = steady_clock::now();
    // The rank where it began ends the job, in terminate() or else here; the others only when it fails to.
    const bool ends_first = first && !reported;
    if (!aborted_at || steady_clock::now() < *aborted_at + (ends_first ? grace_ : 3 * grace_)) continue;
    if (ends_first) log::error("{}", abort_.reason());
    end_processes(static_cast<int>(Fault::communication));
  }
}

void MpiControl::receive() {
  int come = 0;
  MPI_Status status;
  while (MPI_Iprobe(MPI_ANY_SOURCE, 0, notices_, &come, &status) == MPI_SUCCESS && come) {
    int bytes = 0;
    MPI_Get_count(&status, MPI_CHAR, &bytes);
    std::string text(static_cast<size_t>(bytes), '\0');
    if (MPI_Recv(text.data(), bytes, MPI_CHAR, status.MPI_SOURCE, 0, notices_, MPI_STATUS_IGNORE) ==
        MPI_SUCCESS) {
      std::lock_guard lock(mutex_);
      lowest_teller_ = std::min(lowest_teller_, status.MPI_SOURCE);
      abort_.set(text);
    }
  }
}

void MpiControl::tell() {
  if (told_) return;
  notice_ = abort_.reason().substr(0, kLongestNotice);
  telling_.assign(static_cast<size_t>(size_), MPI_REQUEST_NULL);
  for (int step = 1; step < size_; ++step) {
    const int peer = (rank_ + step) % size_;
    // A peer that cannot be told ends with the grace time.
    MPI_Isend(notice_.data(), static_cast<int>(notice_.size()), MPI_CHAR, peer, 0, notices_,
              &telling_[static_cast<size_t>(peer)]);
  }
  {
    std::lock_guard lock(mutex_);
    told_ = true;
  }
  changed_.notify_all();
}

bool MpiControl::reports() {
  std::unique_lock lock(mutex_);
  if (!first_) return false;
  const auto lower_told = [&] { return lowest_teller_ < rank_; };
  changed_.wait_for(lock, grace_, [&] { return told_; });
  changed_.wait_for(lock, 5 * kPoll, lower_told);
  return !lower_told();
}

bool MpiControl::wait_for_all(steady_clock::time_point until, bool heed_abort) {
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Ibarrier(meetings_, &request), "MPI_Ibarrier");
  for (Backoff backoff; steady_clock::now() < until; backoff.pause()) {
    int all = 0;
    mpi_check(MPI_Test(&request, &all, MPI_STATUS_IGNORE), "MPI_Test");
    if (all) return true;
    if (heed_abort && abort_.aborted()) return false;
  }
  return false;
}

bool MpiControl::meet_at_end() {
  try {
    return wait_for_all(steady_clock::time_point::max(), true);
  } catch (const TransportFailure&) {
    return false;
  }
}

void MpiControl::terminate(int code) {
  {
    std::lock_guard lock(mutex_);
    if (abort_.set("a rank has ended")) first_ = true;
    reported_ = true;
  }
  changed_.notify_all();
  const bool reported = reports();
  try {
    wait_for_all(steady_clock::now() + grace_, false);
  } catch (const TransportFailure&) {
    // then without them
  }
  // All have stopped. Who reported the cause knows the exit code: the others let it go first.
  if (!reported) std::this_thread::sleep_for(grace_);
  end_processes(code);
}

void MpiControl::end_processes(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace strata
