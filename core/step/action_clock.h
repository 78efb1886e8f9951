// SPDX-License-Identifier: Apache-2.0
// When the actions of a step ran on a device that works behind the host's back: its own clock's times, told
// as a trace of host times once the step is over.
#pragma once

#include <array>
#include <functional>
#include <mutex>
#include <vector>

#include "core/device/stream.h"
#include "core/program/executor.h"

namespace strata {

class ActionClock {
 public:
  using Trace = std::function<void(const ActionEvent&)>;

  ActionClock(Trace trace, std::function<Stream&(Lane)> stream_of)
      : trace_(std::move(trace)), stream_of_(std::move(stream_of)) {}

  // While the streams have nothing to do.
  void begin_step();
  // Around what an action enqueues, on its lane's thread.
  void begin(Lane lane) { begins_[static_cast<size_t>(lane)] = stream_of_(lane).record(); }
  void end(const ActionEvent& enqueued);
  // When everything is done: tells the trace every action of the step, in the order in which they ended.
  void end_step();

 private:
  struct Measured {
    ActionEvent event;
    Event begin, end;
  };

  Trace trace_;
  std::function<Stream&(Lane)> stream_of_;
  int64_t step_begin_ns_ = 0;
  Event step_begin_;
  std::array<Event, kNumLanes> begins_;  // of the action that each lane is at
  std::mutex mutex_;
  std::vector<Measured> measured_;
};

}  // namespace strata
