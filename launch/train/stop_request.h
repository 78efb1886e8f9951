// SPDX-License-Identifier: Apache-2.0
// Signals that ask a run to save and leave: SIGUSR1 (a scheduler's warning), SIGTERM and SIGINT (Ctrl-C). The
// run looks at step boundaries; a second SIGINT or SIGTERM ends the process at once, as if nobody had caught
// the first.
#pragma once

#include <csignal>
#include <map>

namespace strata {

// Catches the signals in its life, restores what was there before. One at a time in a process. Of a job of
// several processes, SIGUSR1 only: a launcher sends the others to what is left of a job of which a process
// has died.
class StopRequest {
 public:
  explicit StopRequest(bool alone = true);
  ~StopRequest();
  StopRequest(const StopRequest&) = delete;
  StopRequest& operator=(const StopRequest&) = delete;

  int signal() const;  // the one received, 0: none

 private:
  std::map<int, struct sigaction> before_;
};

}  // namespace strata
