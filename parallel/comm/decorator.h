// SPDX-License-Identifier: Apache-2.0
// Communicators and worlds that watch or disturb another. A decorator of communicators overrides run();
// decorate() puts it around every communicator of a world.
#pragma once

#include <functional>
#include <memory>

#include "core/dist/communicator.h"

namespace strata {

class CommunicatorDecorator : public Communicator {
 public:
  explicit CommunicatorDecorator(std::unique_ptr<Communicator> inner)
      : Communicator(inner->spec(), inner->rank()), inner_(std::move(inner)) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    inner_->run(stream, op, scratch);
  }
  void run_barrier() override { inner_->run_barrier(); }
  int64_t scratch_bytes(const Collective& op, DeviceKind device) const override {
    return inner_->scratch_bytes(op, device);
  }

 protected:
  Communicator& inner() { return *inner_; }

 private:
  std::unique_ptr<Communicator> inner_;
};

using Decorate = std::function<std::unique_ptr<Communicator>(World& inner, std::unique_ptr<Communicator>)>;

// `world`, each of whose communicators has `decorate` put around it. Inside out: the last decoration acts
// first.
std::unique_ptr<World> decorate(std::unique_ptr<World> world, Decorate decorate);
// The same around a world that outlives it.
std::unique_ptr<World> decorate(World& world, Decorate decorate);

// Runs `work` where the stream has come to, before what is enqueued later: on the thread that runs the
// stream's work. Host streams only.
void on_stream(Stream& stream, std::function<void()> work);

}  // namespace strata
