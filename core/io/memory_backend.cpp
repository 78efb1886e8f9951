// SPDX-License-Identifier: Apache-2.0
#include "core/io/memory_backend.h"

#include <algorithm>
#include <iterator>

#include "core/io/chance.h"

namespace strata {
namespace {

class MemoryBackend : public IoBackend {
 public:
  explicit MemoryBackend(uint64_t seed) : chance_(seed) {}

  std::string_view name() const override { return "memory"; }

  void start(const Attempt& attempt) override { queue_.push_back(attempt); }

  void reap(std::vector<Ended>& ended, AsyncIo::Clock::time_point until) override {
    ended.insert(ended.end(), cancelled_.begin(), cancelled_.end());
    cancelled_.clear();
    if (queue_.empty() || !ended.empty()) return;
    // Who only looks may find that nothing has ended yet.
    if (until <= AsyncIo::Clock::now() && chance_.coin()) return;
    const auto which = queue_.begin() + chance_.below(std::ssize(queue_));
    const Attempt attempt = *which;
    queue_.erase(which);
    ended.push_back({attempt.slot, run_attempt(attempt)});
  }

  // Some had begun and go on.
  void cancel() override {
    const auto begun = [this](const Attempt&) { return chance_.coin(); };
    const auto stopped = std::stable_partition(queue_.begin(), queue_.end(), begun);
    for (auto attempt = stopped; attempt != queue_.end(); ++attempt)
      cancelled_.push_back({attempt->slot, -ECANCELED});
    queue_.erase(stopped, queue_.end());
  }

 private:
  Chance chance_;
  std::vector<Attempt> queue_;
  std::vector<Ended> cancelled_;
};

}  // namespace

std::unique_ptr<IoBackend> make_memory_backend(uint64_t seed) {
  return std::make_unique<MemoryBackend>(seed);
}

}  // namespace strata
