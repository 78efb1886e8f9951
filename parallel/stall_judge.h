// SPDX-License-Identifier: Apache-2.0
// Whether a job has stalled, and on which rank: from heartbeats and a clock that the caller reads. No
// threads, no messages.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace strata {

struct Heartbeat {
  int rank = 0;
  std::string host;
  int64_t step = 0;
  std::string phase;
  std::string operation;  // the one that is pending; empty: none
  uint64_t ticks = 0;     // grows with everything the rank does
  bool waits_for_storage = false;
  bool leaving = false;  // the last one: silence after it is right
};
std::string encode(const Heartbeat& heartbeat);  // at most NoticeChannel::kLongest bytes; long texts are cut
std::optional<Heartbeat> decode(std::string_view bytes);

class StallJudge {
 public:
  using Clock = std::chrono::steady_clock;

  // Who hears only some ranks can tell that they are silent, not that the job stands still.
  enum class View : uint8_t { whole_job, some_ranks };

  // Watches the given ranks from `now` on.
  StallJudge(std::vector<int> ranks, View view, Clock::duration stall_timeout, Clock::time_point now);

  void hear(const Heartbeat& heartbeat, Clock::time_point now);

  // What is wrong at `now`, once: a rank was silent for longer than the timeout, or all ranks speak but none
  // has done anything for that long and none waits for storage. Slow is not stalled. When this is not called
  // for long, it was the caller who slept, not the others.
  std::optional<Report> judge(Clock::time_point now);

 private:
  struct Rank {
    int rank;
    std::optional<Heartbeat> last;
    Clock::time_point heard;  // or since when it is listened to
  };
  std::optional<Report> silence(Clock::time_point now) const;
  std::optional<Report> standstill(Clock::time_point now) const;

  std::vector<Rank> ranks_;
  View view_;
  Clock::duration timeout_;
  Clock::time_point progressed_;  // any rank
  Clock::time_point judged_;
};

// The larger of a minute and five planned steps.
std::chrono::milliseconds default_stall_timeout(double planned_step_s);

}  // namespace strata
