// SPDX-License-Identifier: Apache-2.0
#include "core/step/action_clock.h"

#include <algorithm>
#include <chrono>

namespace strata {

void ActionClock::begin_step() {
  step_begin_ = stream_of_(Lane::compute).record();
  step_begin_.wait();
  step_begin_ns_ = std::chrono::duration_cast<std::chrono::nanoseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                       .count();
}

void ActionClock::end(const ActionEvent& enqueued) {
  Event end = stream_of_(enqueued.lane).record();
  const std::lock_guard lock(mutex_);
  measured_.push_back({enqueued, begins_[static_cast<size_t>(enqueued.lane)], std::move(end)});
}

void ActionClock::end_step() {
  Stream& stream = stream_of_(Lane::compute);
  const auto at_ns = [&](const Event& event) {
    return step_begin_ns_ +
           static_cast<int64_t>(1e9 * stream.seconds_between(step_begin_, event).value_or(0));
  };
  for (Measured& m : measured_) {
    m.event.begin_ns = at_ns(m.begin);
    m.event.end_ns = at_ns(m.end);
  }
  std::stable_sort(measured_.begin(), measured_.end(),
                   [](const Measured& a, const Measured& b) { return a.event.end_ns < b.event.end_ns; });
  for (const Measured& m : measured_) trace_(m.event);
  measured_.clear();
}

}  // namespace strata
