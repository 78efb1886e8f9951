// SPDX-License-Identifier: Apache-2.0
#include "core/data/prefetch.h"

#include "core/base/check.h"

namespace strata {

Prefetcher::Prefetcher(const DataSource& source, Options options)
    : source_(source), options_(std::move(options)) {
  const auto& [step, micro_batches, cursor, steps, depth] = options_;
  check(step.rows > 0 && step.micro_batches > 0 && cursor >= 0 && depth > 0,
        "[prefetcher] {} micro-batches of {} rows at cursor {}, depth {}", step.micro_batches, step.rows,
        cursor, depth);
  for (const int64_t m : micro_batches)
    check(m >= 0 && m < step.micro_batches, "[prefetcher] micro-batch {} of {}", m, step.micro_batches);
  require_step_fits(source, step.samples() * source.seq_len());
  slots_.resize(static_cast<size_t>(depth) + 1);
  for (Slot& slot : slots_) slot.batches.resize(micro_batches.size());
  thread_ = std::jthread([this](const std::stop_token& stop) { produce(stop); });
}

void Prefetcher::produce(const std::stop_token& stop) {
  for (int64_t step = 0; step < options_.steps; ++step) {
    {
      std::unique_lock lock(mutex_);
      const auto has_room = [&] { return step - released_ < static_cast<int64_t>(slots_.size()); };
      if (!changed_.wait(lock, stop, has_room)) return;
    }
    Slot& slot = slot_of(step);
    try {
      if (!fill(step, slot, stop)) return;
    } catch (...) {
      slot.error = std::current_exception();
    }
    const bool failed = slot.error != nullptr;
    {
      const std::lock_guard lock(mutex_);
      produced_ = step + 1;
    }
    changed_.notify_all();
    if (failed) return;
  }
}

bool Prefetcher::fill(int64_t step, Slot& slot, const std::stop_token& stop) const {
  const int64_t step_cursor = options_.cursor + step * options_.step.samples();
  for (size_t i = 0; i < slot.batches.size(); ++i) {
    if (stop.stop_requested()) return false;
    source_.fill(options_.step.cursor(step_cursor, options_.micro_batches[i]), options_.step.rows,
                 slot.batches[i]);
  }
  return true;
}

std::span<const Batch> Prefetcher::next() {
  check(taken_ < options_.steps, "[prefetcher] all {} steps are delivered", options_.steps);
  {
    std::unique_lock lock(mutex_);
    released_ = taken_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return produced_ > taken_; });
  }
  Slot& slot = slot_of(taken_);
  if (slot.error) std::rethrow_exception(slot.error);
  ++taken_;
  return slot.batches;
}

}  // namespace strata
