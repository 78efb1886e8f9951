// SPDX-License-Identifier: Apache-2.0
// The device a run works on: as its configuration says, opened once, with the streams that work on it.
#pragma once

#include <memory>
#include <string>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/devices.h"
#include "core/step/step_runner.h"
#include "launch/config/config.h"
#include "launch/metrics/step_record.h"

namespace strata {

// The device that `choice` means for the `local_rank`-th process of a machine: ranks are dealt to its GPUs in
// turn. Automatic: a GPU when there is one. Throws Error(environment) saying what is missing.
Device choose_device(DeviceChoice choice, int local_rank);

class RunDevice {
 public:
  // `threads`: of this process, 0: one per core.
  RunDevice(Device device, int threads);

  Device device() const { return open_->device(); }
  bool is_gpu() const { return device().kind == DeviceKind::cuda; }
  WorkerPool& pool() { return pool_; }
  Allocator& memory() { return *open_->memory(); }
  const std::shared_ptr<Allocator>& host_memory() const { return open_->host_memory(); }
  Stream& stream() { return *compute_; }
  StepStreams streams() {
    return {*compute_, communication_.get(), open_->host_memory().get(), host_to_device_.get(),
            device_to_host_.get()};
  }
  // For what host code does with others, on the calling thread.
  Stream& host_stream() { return host_; }

  // On it, by this run; nothing on a CPU, whose memory is the process's.
  TierUse memory_use() const;
  std::optional<double> joules() const { return open_->joules(); }

  std::string describe() const;  // "CPU, 2 threads"; for people
  // What products of this type cannot exceed, in FLOP/s: measured on a CPU; of a GPU all its tensor cores at
  // the highest clock. 0: unknown.
  double peak_flops(DType dtype);

 private:
  WorkerPool pool_;
  // One worker each, the lane's own thread, beside the step's work: of communication, and of moves on a CPU.
  WorkerPool alone_, loading_, storing_;
  CpuStream host_;
  std::unique_ptr<OpenDevice> open_;
  std::unique_ptr<Stream> compute_, communication_;
  std::unique_ptr<Stream> host_to_device_, device_to_host_;  // a GPU's copy engines work beside it
};

}  // namespace strata
