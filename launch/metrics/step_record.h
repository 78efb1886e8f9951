// SPDX-License-Identifier: Apache-2.0
// What one optimizer step reports to people. The trainer fills it once per step; every class of this folder
// reads it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace strata {

struct TierUse {
  int64_t bytes = 0;       // held at the end of the step
  int64_t peak_bytes = 0;  // most held since the run (or its resume) began

  friend bool operator==(const TierUse&, const TierUse&) = default;
};

struct MemoryUse {
  TierUse device, host, nvme;

  friend bool operator==(const MemoryUse&, const MemoryUse&) = default;
};

// What 8-bit codes did to one operand, as shares of its elements: beyond the largest code, nonzero that
// became zero; and the signal over the noise added (infinite: none).
struct QuantizedShare {
  double saturated = 0, underflow = 0, snr_db = 0;
};

struct StepRecord {
  int64_t step = 0;         // number of this step, the first is 1
  int64_t steps_total = 0;  // steps of the whole run; 0 when it is not known
  double loss = 0;          // mean over the tokens of the step, nats per token; may be non-finite
  std::optional<double> valid_loss = {};  // when an evaluation followed this step
  double grad_norm = 0;                   // before clipping
  double lr = 0;
  int64_t tokens = 0;              // that the loss of this step is the mean of
  int64_t tokens_seen = 0;         // since step 1, this step included
  double step_seconds = 0;         // wall time, evaluation and saving excluded
  std::optional<double> mfu = {};  // fraction of the machine's peak, 0..1; absent when the peak is not known
  double flops = 0;                // model FLOPs of this step
  std::optional<double> joules = {};  // that the devices used, where they count it (in steps of about 0.1 s)
  MemoryUse memory = {};
  std::map<std::string, double> waits_ms = {};  // lane -> time that others waited for it
  // Linear layers that rank 0 multiplied in 8 bits, by name: their inputs ("x") and gradients ("dy").
  std::map<std::string, std::map<std::string, QuantizedShare>> quantized = {};
  bool skipped = false;    // the guard threw this step's update away
  std::string phase = {};  // part of the schedule ("warmup", "decay"); may be empty

  double tokens_per_second() const {
    return step_seconds > 0 ? static_cast<double>(tokens) / step_seconds : 0;
  }
};

}  // namespace strata
