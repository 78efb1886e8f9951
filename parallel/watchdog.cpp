// SPDX-License-Identifier: Apache-2.0
#include "parallel/watchdog.h"

#include <algorithm>
#include <numeric>

namespace strata {
namespace {

std::vector<int> watched_by(const World& world) {
  if (world.rank() != 0) return {0};
  std::vector<int> all(static_cast<size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace

Watchdog::Watchdog(World& world, const Progress& progress, const FlightRecorder* recorder,
                   std::chrono::milliseconds stall_timeout)
    : world_(world),
      progress_(progress),
      recorder_(recorder),
      host_(world.host()),
      interval_(
          std::clamp(stall_timeout / 20, std::chrono::milliseconds(5), std::chrono::milliseconds(1000))),
      channel_(world.notices()),
      judge_(watched_by(world),
             world.rank() == 0 ? StallJudge::View::whole_job : StallJudge::View::some_ranks, stall_timeout,
             StallJudge::Clock::now()),
      thread_([this] { run(); }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::run() {
  const auto stopping = [&] {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, interval_, [&] { return stopping_; });
  };
  for (tell(false); !stopping(); tell(false)) {
    if (world_.aborted()) continue;  // the others must still hear that this rank lives
    listen();
    if (const auto report = judge_.judge(StallJudge::Clock::now())) world_.abort(to_string(*report));
  }
  tell(true);
}

Heartbeat Watchdog::heartbeat(bool leaving) const {
  Heartbeat beat{.rank = world_.rank(),
                 .host = host_,
                 .step = progress_.step(),
                 .phase = progress_.phase(),
                 .ticks = progress_.ticks(),
                 .waits_for_storage = progress_.waits_for_storage(),
                 .leaving = leaving};
  if (recorder_) {
    beat.ticks += recorder_->changes();
    if (const auto pending = recorder_->pending()) beat.operation = to_string(*pending);
  }
  return beat;
}

void Watchdog::tell(bool leaving) {
  const Heartbeat beat = heartbeat(leaving);
  const std::string bytes = encode(beat);
  if (world_.rank() != 0) return channel_->post(0, bytes);
  judge_.hear(beat, StallJudge::Clock::now());
  for (int rank = 1; rank < world_.size(); ++rank) channel_->post(rank, bytes);
}

void Watchdog::listen() {
  while (const auto notice = channel_->poll())
    if (const auto beat = decode(notice->bytes)) judge_.hear(*beat, StallJudge::Clock::now());
}

}  // namespace strata
