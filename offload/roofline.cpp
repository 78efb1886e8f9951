// SPDX-License-Identifier: Apache-2.0
#include "offload/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace strata {
namespace {

double over(double amount, double rate) { return rate > 0 ? amount / rate : 0; }

}  // namespace

// An update reads the gradient and all state, writes the state and the weight.
std::span<const StreamBytes> stream_formats() {
  static constexpr StreamBytes kFormats[] = {
      {.name = "fp32", .kept = 14, .drive_read = 16, .drive_write = 14, .update = 28},
      {.name = "split", .kept = 8, .drive_read = 10, .drive_write = 8, .update = 18},
      {.name = "split8", .kept = 6, .drive_read = 8, .drive_write = 6, .update = 14},
      {.name = "sr8", .kept = 4, .drive_read = 6, .drive_write = 4, .update = 10},
  };
  return kFormats;
}

std::string_view name(StepPart part) {
  static constexpr std::string_view kNames[] = {"device", "h2d", "d2h", "drive", "memory", "update"};
  return kNames[static_cast<size_t>(part)];
}

StreamRoofline roofline(const StreamBytes& format, const StreamLoad& load, const StreamRates& rates) {
  const double on_drive = 1 - load.kept_in_memory, flop_per_token = (6 + 2 * load.recomputed);
  const double drive_s_per_param =
      on_drive * (over(format.drive_read, rates.drive_read) + over(format.drive_write, rates.drive_write));
  const double memory_bytes = format.update + 2 * format.weight * load.passes +
                              format.gradient * load.passes +
                              on_drive * (format.drive_read + format.drive_write);
  StreamRoofline result;
  result.seconds = {over(flop_per_token * load.params * load.tokens, rates.flops),
                    over(2 * format.weight * load.params * load.passes, rates.h2d),
                    over(format.gradient * load.params * load.passes, rates.d2h),
                    load.params * drive_s_per_param,
                    over(load.params * memory_bytes, rates.memory),
                    over(load.params, rates.update)};
  const auto slowest = std::max_element(result.seconds.begin(), result.seconds.end());
  result.binds = static_cast<StepPart>(slowest - result.seconds.begin());
  result.step_s = *slowest;
  result.tax = result.at(StepPart::device) > 0 ? result.step_s / result.at(StepPart::device) - 1 : 0;
  result.free_tokens = drive_s_per_param * rates.flops / flop_per_token;  // the number of parameters cancels
  result.bytes_written = on_drive * format.drive_write * load.params;
  return result;
}

StreamRoofline roofline(const StepLoad& load, const StreamRates& rates) {
  StreamRoofline result;
  const double drive_s = over(load.drive_read, rates.drive_read) + over(load.drive_write, rates.drive_write);
  const double of_tokens_s =
      over(load.read_of_tokens, rates.drive_read) + over(load.written_of_tokens, rates.drive_write);
  result.seconds[static_cast<size_t>(StepPart::device)] = load.device_s;
  result.seconds[static_cast<size_t>(StepPart::h2d)] = over(load.h2d, rates.h2d);
  result.seconds[static_cast<size_t>(StepPart::d2h)] = over(load.d2h, rates.d2h);
  result.seconds[static_cast<size_t>(StepPart::drive)] = drive_s;
  const auto slowest = std::max_element(result.seconds.begin(), result.seconds.end());
  result.binds = static_cast<StepPart>(slowest - result.seconds.begin());
  result.step_s = *slowest;
  result.tax = load.device_s > 0 ? result.step_s / load.device_s - 1 : 0;
  const double hidden_s = load.device_s - of_tokens_s;  // per step of so many tokens
  if (drive_s > 0)
    result.free_tokens = hidden_s > 0 ? load.tokens * (drive_s - of_tokens_s) / hidden_s
                                      : std::numeric_limits<double>::infinity();
  result.bytes_written = load.drive_write;
  return result;
}

DriveWear drive_wear(double bytes_per_step, double step_s, double endurance_bytes) {
  constexpr double kDay = 86400;
  DriveWear wear{.bytes_per_day = over(bytes_per_step * kDay, step_s),
                 .days = std::numeric_limits<double>::infinity()};
  if (wear.bytes_per_day > 0 && endurance_bytes > 0) wear.days = endurance_bytes / wear.bytes_per_day;
  return wear;
}

std::string to_text(const StreamRoofline& roofline, double endurance_bytes) {
  std::string text = fmt::format("{} decides: {:.3g} s a step", name(roofline.binds), roofline.step_s);
  for (int p = 0; p < kNumParts; ++p)
    if (roofline.seconds[p] > 0)
      text += fmt::format("{}{} {:.3g}", p == 0 ? " (" : ", ", name(static_cast<StepPart>(p)),
                          roofline.seconds[p]);
  text += ")";
  if (roofline.at(StepPart::drive) == 0) return text;
  text += std::isfinite(roofline.free_tokens)
              ? fmt::format("; the drive is free from {:.0f} tokens a step", roofline.free_tokens)
              : "; activations alone keep the drive busier than the device";
  const DriveWear wear = drive_wear(roofline.bytes_written, roofline.step_s, endurance_bytes);
  text += fmt::format("; {:.3g} TB written a day", 1e-12 * wear.bytes_per_day);
  if (endurance_bytes > 0) text += fmt::format(", drives last {:.3g} days", wear.days);
  return text;
}

}  // namespace strata
