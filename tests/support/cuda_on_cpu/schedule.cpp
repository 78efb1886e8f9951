// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cuda_on_cpu/schedule.h"

#include <charconv>
#include <cstdlib>

#include "core/base/check.h"

namespace strata::cuda_on_cpu {
namespace {

thread_local const Schedule* innermost = nullptr;

}  // namespace

Schedule parse_schedule(const std::string& text) {
  using Order = Schedule::Order;
  if (text == "lowest") return {Order::lowest_first};
  if (text == "highest") return {Order::highest_first};
  if (text == "rotate") return {Order::rotate};
  const std::string random = "random:";
  uint64_t seed = 0;
  const char* const end = text.data() + text.size();
  if (text.starts_with(random) &&
      std::from_chars(text.data() + random.size(), end, seed) == std::from_chars_result{end, std::errc()})
    return {Order::random, seed};
  fail_contract(fmt::format("[cuda_on_cpu] schedule '{}': expected lowest, highest, rotate or random:<seed>", text));
}

Schedule current_schedule() {
  if (innermost) return *innermost;
  const char* const wish = std::getenv("STRATA_CUDA_SCHEDULE");
  return wish ? parse_schedule(wish) : Schedule{};
}

ScheduleScope::ScheduleScope(const Schedule& schedule) : schedule_(schedule), outer_(innermost) {
  innermost = &schedule_;
}
ScheduleScope::~ScheduleScope() { innermost = outer_; }

}  // namespace strata::cuda_on_cpu
