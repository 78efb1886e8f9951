// SPDX-License-Identifier: Apache-2.0
// An ordered queue of work on a device, and points on it.
//
// Operations (core/ops) enqueue on a Stream and may return before the work is done: memory they were given
// must live, and must not be read or written elsewhere, until an Event recorded after them has been waited
// for. Work on one stream runs in order; work on two streams is ordered only through events.
#pragma once

#include <memory>
#include <optional>

#include "core/device/device.h"
#include "core/device/scratch.h"

namespace strata {

class Event {
 public:
  // A device's own notion of a recorded point.
  class State {
   public:
    virtual ~State() = default;
    virtual bool done() const = 0;
    virtual void wait()
        const = 0;  // blocks the calling thread; rethrows a failure of the work before the point
  };

  Event() = default;  // already done
  explicit Event(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  bool done() const { return !state_ || state_->done(); }
  void wait() const {
    if (state_) state_->wait();
  }
  const State* state() const { return state_.get(); }

 private:
  std::shared_ptr<const State> state_;
};

class Stream {
 public:
  virtual ~Stream() = default;

  virtual Device device() const = 0;
  virtual Event record() = 0;  // done when everything enqueued before it is done
  virtual void wait(
      const Event& event) = 0;  // later work of this stream starts after `event`; does not block
  virtual void synchronize() { record().wait(); }

  // Copies `bytes` bytes within, to or from the device's memory; the other side is the host's or the same
  // device's. Ranges must not overlap, unless they are the same. Host memory that is not of the device's
  // host_memory() (devices.h) may make the call wait; the ranges must live as for any operation.
  virtual void copy_bytes(const std::byte* from, std::byte* to, int64_t bytes) = 0;

  // The time between two events recorded on streams of this device, both done, in seconds as its own clock
  // saw it. Nothing on a device whose work the host's clock sees.
  virtual std::optional<double> seconds_between(const Event& first, const Event& last) const {
    static_cast<void>(first), static_cast<void>(last);
    return std::nullopt;
  }

  // Working memory of this stream's operations.
  Scratch& scratch() { return scratch_; }

 protected:
  explicit Stream(Scratch scratch) : scratch_(std::move(scratch)) {}

 private:
  Scratch scratch_;
};

}  // namespace strata
