// SPDX-License-Identifier: Apache-2.0
// A stream of a GPU: operations are enqueued and return at once; the GPU runs them in order.
#pragma once

#include <cuda_runtime_api.h>

#include "core/device/stream.h"

namespace strata {

class CudaStream : public Stream {
 public:
  // On GPU `index`. `urgent`: its work goes before that of other streams where both wait (communication).
  // Working memory grows from the GPU's own memory until it is bound.
  explicit CudaStream(int index, bool urgent = false);
  ~CudaStream() override;  // waits for what was enqueued
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  Device device() const override { return {DeviceKind::cuda, index_}; }
  Event record() override;
  // Also events of a CPU stream: the calling thread then waits for them.
  void wait(const Event& event) override;
  void copy_bytes(const std::byte* from, std::byte* to, int64_t bytes) override;

  cudaStream_t handle() const { return handle_; }
  std::optional<double> seconds_between(const Event& first, const Event& last) const override;

 private:
  int index_;
  cudaStream_t handle_ = nullptr;
};

// The stream as a CUDA stream; throws ContractError when it is of another device.
CudaStream& cuda_stream(Stream& stream);

// Makes GPU `index` the one that calls of this thread mean; every function that is given a stream or an index
// does so itself.
void use_gpu(int index);

}  // namespace strata
