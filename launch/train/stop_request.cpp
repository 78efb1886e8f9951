// SPDX-License-Identifier: Apache-2.0
#include "launch/train/stop_request.h"

#include <atomic>

namespace strata {
namespace {

// A signal handler can reach nothing but a static.
std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) {
  received.store(signal);
  if (signal == SIGINT || signal == SIGTERM) std::signal(signal, SIG_DFL);
}

}  // namespace

StopRequest::StopRequest(bool alone) {
  received.store(0);
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, &before_[SIGUSR1]);
  if (!alone) return;
  for (const int signal : {SIGTERM, SIGINT}) sigaction(signal, &action, &before_[signal]);
}

StopRequest::~StopRequest() {
  for (const auto& [signal, action] : before_) sigaction(signal, &action, nullptr);
}

int StopRequest::signal() const { return received.load(); }

}  // namespace strata
