// SPDX-License-Identifier: Apache-2.0
// Ends a job that has stalled, with one message that names the rank, its host, operation, step and phase. A
// thread of every rank tells rank 0 what its rank does, and rank 0's tells everybody that it lives: so rank 0
// judges all, and all judge rank 0.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "core/dist/communicator.h"
#include "parallel/comm/flight_recorder.h"
#include "parallel/progress.h"
#include "parallel/stall_judge.h"

namespace strata {

class Watchdog {
 public:
  // All ranks make one. What it is given must outlive it; `recorder` may be null. A stall of longer than
  // `stall_timeout` aborts the job; it is noticed a tenth of that later at most.
  Watchdog(World& world, const Progress& progress, const FlightRecorder* recorder,
           std::chrono::milliseconds stall_timeout);
  ~Watchdog();  // says good-bye

 private:
  void run();
  void tell(bool leaving);
  void listen();
  Heartbeat heartbeat(bool leaving) const;

  World& world_;
  const Progress& progress_;
  const FlightRecorder* recorder_;
  std::string host_;
  std::chrono::milliseconds interval_;
  std::unique_ptr<NoticeChannel> channel_;
  StallJudge judge_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace strata
