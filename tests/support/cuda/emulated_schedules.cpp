// SPDX-License-Identifier: Apache-2.0
// On the pretended GPU: the orders of threads that find missing barriers. Sanitizers are slow and need less luck:
// ThreadSanitizer sees in one order what could go wrong in others.
#include "tests/support/cuda/cuda_device.h"
#include "tests/support/cuda_on_cpu/sanitizers.h"
#include "tests/support/cuda_on_cpu/schedule.h"

namespace strata {

void for_schedules(const std::function<void()>& body) {
  using cuda_on_cpu::Schedule;
  std::vector<Schedule> schedules{{Schedule::Order::random, 1}};
  if (!cuda_on_cpu::has_thread_sanitizer()) schedules.push_back({Schedule::Order::highest_first});
  if (!cuda_on_cpu::has_thread_sanitizer() && !cuda_on_cpu::has_address_sanitizer()) {
    schedules.push_back({Schedule::Order::lowest_first});
    schedules.push_back({Schedule::Order::random, 2});
  }
  for (const Schedule& schedule : schedules) {
    const cuda_on_cpu::ScheduleScope scope(schedule);
    body();
  }
}

}  // namespace strata
