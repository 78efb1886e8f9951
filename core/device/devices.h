// SPDX-License-Identifier: Apache-2.0
// The devices of this process behind one interface: whoever runs a model opens one, and needs no other word
// about which kind it is. (Which operations it has: core/ops/op_table.h.)
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/base/worker_pool.h"
#include "core/device/buffer.h"
#include "core/device/stream.h"

namespace strata {

class OpenDevice {
 public:
  virtual ~OpenDevice() = default;

  virtual Device device() const = 0;
  virtual std::string name() const = 0;  // "NVIDIA H100 80GB HBM3"; for people
  virtual int64_t memory_bytes()
      const = 0;  // of its own: free when it was opened; on a CPU the machine's available

  // FLOP/s that matrix products cannot exceed: all arithmetic units at the highest clock. 0: unknown (on a
  // CPU it is measured).
  struct Peak {
    double f32 = 0, bf16 = 0;
  };
  virtual Peak peak_flops() const { return {}; }

  // Energy it has used since some moment long ago; only differences mean anything, in steps of about 0.1 s.
  // Nothing where no driver counts it.
  virtual std::optional<double> joules() const { return std::nullopt; }

  virtual const std::shared_ptr<Allocator>& memory() const = 0;  // of the device
  // Host memory that the device's operations reach in place: for sums that the host reads and for copies that
  // do not wait. On a CPU the same as memory().
  virtual const std::shared_ptr<Allocator>& host_memory() const = 0;

  enum class Use { compute, communication };  // the latter goes first where both wait
  virtual std::unique_ptr<Stream> make_stream(Use use) = 0;
};

// Work runs on `pool`, which must outlive it: inline for compute, on a thread of the stream's own for
// communication.
std::unique_ptr<OpenDevice> open_cpu(WorkerPool& pool);

// Whether this program was built with CUDA (core/device/cuda, or no_cuda.cpp).
bool has_cuda();
// The CUDA version it was built with: 13000 for 13.0; 0 without.
int cuda_version();
// GPUs this process can use; 0 without a driver.
int num_gpus();
// Throws Error(environment) when there is no such GPU, or this program was built without CUDA.
std::unique_ptr<OpenDevice> open_gpu(int index);

}  // namespace strata
