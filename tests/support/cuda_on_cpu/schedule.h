// SPDX-License-Identifier: Apache-2.0
// In which order the threads of a block run between the points where they meet. A kernel must give the same under all;
// "one warp runs as far as it can" is what shows a missing barrier, so no order is fair but the last.
#pragma once

#include <cstdint>
#include <string>

namespace strata::cuda_on_cpu {

struct Schedule {
  enum class Order {
    lowest_first,   // the lowest warp that can run, its lowest lane
    highest_first,  // the highest, its highest
    random,         // warps by priorities drawn anew at every barrier and now and then between, lanes at random
    rotate,         // the next warp at every switch
  };
  Order order = Order::lowest_first;
  uint64_t seed = 1;  // of `random`
};

// What kernels launched by this thread run under: that of the innermost ScheduleScope, or else of the environment
// variable STRATA_CUDA_SCHEDULE ("lowest", "highest", "rotate", "random:7"), or else lowest_first.
Schedule current_schedule();
// Throws ContractError when the text is none.
Schedule parse_schedule(const std::string& text);

class ScheduleScope {
 public:
  explicit ScheduleScope(const Schedule& schedule);
  ~ScheduleScope();
  ScheduleScope(const ScheduleScope&) = delete;
  ScheduleScope& operator=(const ScheduleScope&) = delete;

 private:
  Schedule schedule_;
  const Schedule* outer_;
};

}  // namespace strata::cuda_on_cpu
