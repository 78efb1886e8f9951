// SPDX-License-Identifier: Apache-2.0
#include "launch/train/roofline_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>

namespace strata {
namespace {

// The part that took longest beyond what it should have, and what to do about it.
struct Excess {
  std::string_view part;
  double seconds;
  std::string advice;
};

}  // namespace

std::optional<StreamRoofline> RooflineWatch::roofline() const {
  if (static_cast<int>(device_s_.size()) <= kMeasured) return std::nullopt;
  StepLoad load = load_;
  load.device_s = *std::min_element(device_s_.begin(), device_s_.end());
  return strata::roofline(load, rates_);
}

std::optional<std::string> RooflineWatch::step(double seconds, const LaneTimes& times) {
  // The first step touches memory for the first time.
  if (static_cast<int>(device_s_.size()) <= kMeasured) device_s_.push_back(times.busy(Lane::compute));
  if (device_s_.size() == 1) device_s_[0] = std::numeric_limits<double>::infinity();
  window_.push_back({seconds, times});
  if (static_cast<int>(window_.size()) > kWindow) window_.erase(window_.begin());
  const std::optional<StreamRoofline> best = roofline();
  quiet_for_ = std::max(0, quiet_for_ - 1);
  if (!best || static_cast<int>(window_.size()) < kWindow || quiet_for_ > 0) return std::nullopt;
  std::vector<Sample> ordered = window_;
  std::nth_element(ordered.begin(), ordered.begin() + kWindow / 2, ordered.end(),
                   [](const Sample& a, const Sample& b) { return a.seconds < b.seconds; });
  const Sample& typical = ordered[kWindow / 2];
  if (typical.seconds <= (1 + kTolerance) * best->step_s) return std::nullopt;
  quiet_for_ = kPatience;
  return explain(*best, typical);
}

std::string RooflineWatch::explain(const StreamRoofline& best, const Sample& typical) const {
  const auto beyond = [&](StepPart part, double took) { return took - best.at(part); };
  const LaneTimes& t = typical.times;
  const Excess parts[] = {
      {"the device", beyond(StepPart::device, t.busy(Lane::compute)),
       "something else may use its processors"},
      {"the drive",
       beyond(StepPart::drive, t.busy(Lane::disk_read) + t.busy(Lane::disk_write)) *
           (t.waited(Lane::disk_read) + t.waited(Lane::disk_write) > 0 ? 1 : 0),
       "it is slower than when it was tried: look for others who use it, or for a full write cache"},
      {"the link to the device", beyond(StepPart::h2d, t.busy(Lane::h2d)), "see `strata doctor`"},
      {"the link from the device", beyond(StepPart::d2h, t.busy(Lane::d2h)), "see `strata doctor`"},
      // Nothing is slow by itself: what should go on at the same time does not.
      {"waiting for loads",
       t.waited(Lane::disk_read) + t.waited(Lane::h2d) + t.waited(Lane::disk_write) + t.waited(Lane::d2h),
       "a larger offload.prefetch, or a larger offload.device_limit, lets more go on at once"},
      {"waiting for sums and other ranks", t.waited(Lane::communication),
       "something else may use the processors; with several ranks, one of them may be slower"},
  };
  const Excess& worst =
      *std::max_element(std::begin(parts), std::end(parts),
                        [](const Excess& a, const Excess& b) { return a.seconds < b.seconds; });
  return fmt::format(
      "slower than the roofline: a step takes {:.3g} s, {:.0f}% more than {} allows ({:.3g} s); most of it "
      "is {}, "
      "{:.3g} s too long: {}",
      typical.seconds, 100 * (typical.seconds / best.step_s - 1), name(best.binds), best.step_s, worst.part,
      worst.seconds, worst.advice);
}

}  // namespace strata
