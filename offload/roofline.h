// SPDX-License-Identifier: Apache-2.0
// How long a step with streamed state takes at best, which part of the machine decides it, from how many
// tokens a step on the drive costs nothing, and how long the drive lives: arithmetic alone. The rates are
// measured elsewhere; the overlap is perfect here, so a real step is this plus the filling of its pipeline.
//
// Maths: bytes per parameter and second, as in ZeRO-Infinity (Rajbhandari et al., SC '21, section 3) with
// reads and writes of a drive one after the other, which is safe for flash under mixed load.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace strata {

// Bytes per parameter of what a state format moves.
struct StreamBytes {
  std::string_view name;
  double kept = 0;        // on all tiers, the weight included
  double drive_read = 0;  // per step, with all of it on the drive and gradients consumed on arrival
  double drive_write = 0;
  double update = 0;    // of host memory, by an update on the host: gradient, state and weight
  double weight = 2;    // over the link to the device, per pass of forward or backward
  double gradient = 2;  // over the link from the device
};
// fp32, split, split8, sr8.
std::span<const StreamBytes> stream_formats();

struct StreamLoad {
  double params = 0;
  double tokens = 0;      // per step, of this device
  double recomputed = 0;  // share of the forward pass computed again, 0 ... 1
  double passes =
      1;  // times each weight crosses the link per direction: 1 vertical, micro-batches horizontal
  double kept_in_memory = 0;  // share of the state that never leaves host memory, 0 ... 1
};

// Bytes, FLOP and parameters per second; 0: that part takes no time (not there).
struct StreamRates {
  double flops = 0;  // of the device, in training
  double h2d = 0, d2h = 0;
  double drive_read = 0, drive_write = 0;
  double memory = 0;  // of the host
  double update = 0;  // parameters per second, by the host
};

enum class StepPart : uint8_t { device, h2d, d2h, drive, memory, update };
inline constexpr int kNumParts = 6;
std::string_view name(StepPart part);

struct StreamRoofline {
  std::array<double, kNumParts> seconds{};  // by StepPart
  StepPart binds = StepPart::device;
  double step_s = 0;         // of the part that binds
  double tax = 0;            // step_s over the device's own time, minus 1
  double free_tokens = 0;    // from so many tokens a step the drive hides behind the device
  double bytes_written = 0;  // to the drive, per step
  double at(StepPart part) const { return seconds[static_cast<size_t>(part)]; }
};

StreamRoofline roofline(const StreamBytes& format, const StreamLoad& load, const StreamRates& rates);

// A step as a plan has it, to the byte; `device_s` as the device takes alone.
struct StepLoad {
  double tokens = 0;
  double device_s = 0;
  double h2d = 0, d2h = 0, drive_read = 0, drive_write = 0;  // bytes
  // Of the drive's, what grows with the number of tokens: activations.
  double read_of_tokens = 0, written_of_tokens = 0;
};
// `rates`: of links and drives alone. Infinite free_tokens: activations alone keep the drive busier than the
// device.
StreamRoofline roofline(const StepLoad& load, const StreamRates& rates);

struct DriveWear {
  double bytes_per_day = 0;
  double days =
      0;  // until `endurance_bytes` (the maker's TBW, of all drives together) are written; infinite without
};
DriveWear drive_wear(double bytes_per_step, double step_s, double endurance_bytes);

// "NVMe decides: 61.9 s a step (GPU 40.2, ...); free from 50 k tokens a step; 0.78 PB written a day".
// With `endurance_bytes`, how long the drives last.
std::string to_text(const StreamRoofline& roofline, double endurance_bytes = 0);

}  // namespace strata
