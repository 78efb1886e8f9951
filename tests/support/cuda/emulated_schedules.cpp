// SPDX-License-Identifier: Apache-2.0
// On the pretended GPU: the orders of threads that find missing barriers.
#include "tests/support/cuda/cuda_device.h"
#include "tests/support/cuda_on_cpu/schedule.h"

namespace strata {

void for_schedules(const std::function<void()>& body) {
  using cuda_on_cpu::Schedule;
  for (const Schedule schedule : {Schedule{Schedule::Order::lowest_first}, Schedule{Schedule::Order::highest_first},
                                  Schedule{Schedule::Order::random, 1}, Schedule{Schedule::Order::random, 2}}) {
    const cuda_on_cpu::ScheduleScope scope(schedule);
    body();
  }
}

}  // namespace strata
