// SPDX-License-Identifier: Apache-2.0
// The end of an MPI job, good or bad: a communicator and a thread of its own, which carries the reason of an
// abort to every rank and ends what does not stop by itself.
#pragma once

#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "parallel/comm/abort_state.h"

namespace strata {

class MpiControl {
 public:
  // Collective over MPI_COMM_WORLD.
  MpiControl(AbortState& abort, std::chrono::milliseconds grace);
  ~MpiControl();  // stops the thread; tells nobody

  // Any thread; does not block.
  void abort(const std::string& reason);
  // Whether the abort began here, and on no lower rank at about the same time. Waits for those a moment.
  bool reports();
  // Waits for all ranks to call it, or for an abort. True: all came, and MPI may be finalized.
  bool meet_at_end();
  // Waits for the other ranks to call it, at most the grace time, then ends the job.
  [[noreturn]] void terminate(int code);

 private:
  void run();
  void receive();
  void tell();
  bool wait_for_all(std::chrono::steady_clock::time_point until, bool heed_abort);
  [[noreturn]] void end_processes(int code);

  AbortState& abort_;
  std::chrono::milliseconds grace_;
  int rank_ = 0;
  int size_ = 1;
  MPI_Comm notices_ = MPI_COMM_NULL;   // of aborts
  MPI_Comm meetings_ = MPI_COMM_NULL;  // at the end

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool first_ = false;     // an abort began on this rank
  bool told_ = false;      // the others have been told
  int lowest_teller_;      // of the ranks that told this one of theirs
  bool reported_ = false;  // the program has said why

  // Of the thread.
  std::string notice_;
  std::vector<MPI_Request> telling_;
  std::thread thread_;
};

}  // namespace strata
