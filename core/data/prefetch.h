// SPDX-License-Identifier: Apache-2.0
// Fills the micro-batches of the next steps on a thread of its own while the current step computes.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "core/data/sampler.h"

namespace strata {

// One consumer thread. What it delivers equals DataSource::fill, whatever the depth. To seek, make another.
class Prefetcher {
 public:
  struct Options {
    StepShape step;
    std::vector<int64_t> micro_batches;  // of each step that this rank computes, in order
    int64_t cursor = 0;                  // of the first step
    int64_t steps = 0;                   // to deliver
    int64_t depth = 1;                   // steps kept ready beside the one in use
  };
  // Error(data) when a step takes more than the data has. `source` must outlive the prefetcher.
  Prefetcher(const DataSource& source, Options options);
  ~Prefetcher() = default;  // stops the thread, waits for at most the micro-batch it is filling
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The step after the one returned before; waits until it is ready. The batches stay valid until the next
  // call. An error met while filling a step is thrown when that step is asked for, and by every call after
  // it.
  std::span<const Batch> next();

  // Where the step that next() returns begins: what a checkpoint keeps between steps.
  int64_t cursor() const { return options_.cursor + taken_ * options_.step.samples(); }

 private:
  struct Slot {
    std::vector<Batch> batches;
    std::exception_ptr error;
  };
  void produce(const std::stop_token& stop);
  bool fill(int64_t step, Slot& slot, const std::stop_token& stop) const;  // false: stopped meanwhile
  Slot& slot_of(int64_t step) { return slots_[static_cast<size_t>(step) % slots_.size()]; }

  const DataSource& source_;
  Options options_;
  std::vector<Slot> slots_;  // a ring: step s lives in slot s modulo their number
  std::mutex mutex_;         // guards produced_ and released_
  std::condition_variable_any changed_;
  int64_t produced_ = 0;  // steps filled
  int64_t released_ = 0;  // steps the consumer is done with
  int64_t taken_ = 0;     // steps handed out; the consumer's own
  std::jthread thread_;   // last: it stops before the rest goes
};

}  // namespace strata
