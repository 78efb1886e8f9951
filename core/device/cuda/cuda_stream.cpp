// SPDX-License-Identifier: Apache-2.0
#include "core/device/cuda/cuda_stream.h"

#include "core/base/check.h"
#include "core/device/cuda/cuda_allocator.h"
#include "core/device/cuda/cuda_error.h"

namespace strata {
namespace {

class CudaEvent : public Event::State {
 public:
  CudaEvent(int index, cudaStream_t stream) : index_(index) {
    use_gpu(index);
    cuda_check(cudaEventCreate(&handle_), "cudaEventCreate");  // with timing: traces ask for it
    const cudaError_t code = cudaEventRecord(handle_, stream);
    if (code == cudaSuccess) return;
    cudaEventDestroy(handle_);
    cuda_check(code, "cudaEventRecord");
  }
  ~CudaEvent() override { cuda_log(cudaEventDestroy(handle_), "cudaEventDestroy"); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  bool done() const override {
    const cudaError_t code = cudaEventQuery(handle_);
    if (code == cudaErrorNotReady) return false;
    cuda_check(code, "cudaEventQuery");
    return true;
  }
  void wait() const override { cuda_check(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }

  cudaEvent_t handle() const { return handle_; }
  int index() const { return index_; }

 private:
  int index_;
  cudaEvent_t handle_ = nullptr;
};

const CudaEvent& cuda_event(const Event& event) {
  const auto* state = dynamic_cast<const CudaEvent*>(event.state());
  check(state != nullptr, "[cuda] the event was not recorded on a CUDA stream");
  return *state;
}

}  // namespace

void use_gpu(int index) { cuda_check(cudaSetDevice(index), "cudaSetDevice"); }

CudaStream::CudaStream(int index, bool urgent) : Stream(Scratch(make_cuda_allocator(index))), index_(index) {
  use_gpu(index);
  int least = 0, greatest = 0;
  cuda_check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  cuda_check(cudaStreamCreateWithPriority(&handle_, cudaStreamNonBlocking, urgent ? greatest : least),
             "cudaStreamCreateWithPriority");
}

CudaStream::~CudaStream() {
  cuda_log(cudaSetDevice(index_), "cudaSetDevice");
  cuda_log(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
  cuda_log(cudaStreamDestroy(handle_), "cudaStreamDestroy");
}

Event CudaStream::record() { return Event(std::make_shared<CudaEvent>(index_, handle_)); }

void CudaStream::wait(const Event& event) {
  if (!event.state()) return;
  const auto* state = dynamic_cast<const CudaEvent*>(event.state());
  if (!state) return event.wait();
  use_gpu(index_);
  cuda_check(cudaStreamWaitEvent(handle_, state->handle(), 0), "cudaStreamWaitEvent");
}

void CudaStream::copy_bytes(const std::byte* from, std::byte* to, int64_t bytes) {
  if (from == to || bytes == 0) return;
  use_gpu(index_);
  // Addresses say which side is whose (unified virtual addressing).
  cuda_check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, handle_),
             "cudaMemcpyAsync");
}

std::optional<double> CudaStream::seconds_between(const Event& first, const Event& last) const {
  float milliseconds = 0;
  cuda_check(cudaEventElapsedTime(&milliseconds, cuda_event(first).handle(), cuda_event(last).handle()),
             "cudaEventElapsedTime");
  return static_cast<double>(milliseconds) * 1e-3;
}

CudaStream& cuda_stream(Stream& stream) {
  check(stream.device().kind == DeviceKind::cuda, "[cuda] a kernel was given a stream of {}",
        to_string(stream.device()));
  return static_cast<CudaStream&>(stream);
}

}  // namespace strata
