// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cuda_on_cpu/streams.h"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>

#include "tests/support/cuda_on_cpu/call_faults.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Queue {
  std::deque<std::function<void()>> waiting;
  int64_t enqueued = 0, done = 0;
};

struct Point {
  std::shared_ptr<Queue> queue;  // null: reached at once
  int64_t target = 0;
  Clock::time_point at;
};

// One at a time works for all pretended GPUs. Recursive: work of one stream may be to wait for another.
std::recursive_mutex& device() {
  static std::recursive_mutex mutex;
  return mutex;
}
auto* const all_queues = new std::set<std::shared_ptr<Queue>>;  // before main(): as all_addresses
std::set<std::shared_ptr<Queue>>& queues() { return *all_queues; }

cudaError_t injected(const char* function) {
  return static_cast<cudaError_t>(strata::cuda_on_cpu::call_fault(function));
}

void step(Queue& queue) {
  const auto work = std::move(queue.waiting.front());
  queue.waiting.pop_front();
  ++queue.done;
  work();
}
void run_until(Queue& queue, int64_t target) {
  while (queue.done < target && !queue.waiting.empty()) step(queue);
}

}  // namespace

struct CUstream_st {
  int device;
  std::shared_ptr<Queue> queue = std::make_shared<Queue>();
};
struct CUevent_st {
  std::shared_ptr<Point> point;
};

namespace strata::cuda_on_cpu {

bool streams_are_late() {
  static const bool late = [] {
    const char* const wish = std::getenv("STRATA_CUDA_STREAMS");
    return wish && std::string_view(wish) == "late";
  }();
  return late;
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  if (!streams_are_late() || !stream) return work();
  const std::lock_guard lock(device());
  stream->queue->waiting.push_back(std::move(work));
  ++stream->queue->enqueued;
}

void finish(cudaStream_t stream) {
  if (!streams_are_late() || !stream) return;
  const std::lock_guard lock(device());
  run_until(*stream->queue, stream->queue->enqueued);
}

void finish_all_streams() {
  if (!streams_are_late()) return;
  const std::lock_guard lock(device());
  for (const auto& queue : queues()) run_until(*queue, queue->enqueued);
}

}  // namespace strata::cuda_on_cpu

using namespace strata::cuda_on_cpu;

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  if (const cudaError_t code = injected("cudaStreamCreateWithPriority")) return code;
  int index = 0;
  cudaGetDevice(&index);
  *stream = new CUstream_st{index};
  const std::lock_guard lock(device());
  queues().insert((*stream)->queue);
  count_held("stream", 1);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  finish(stream);
  {
    const std::lock_guard lock(device());
    queues().erase(stream->queue);
  }
  delete stream;
  count_held("stream", -1);
  return injected("cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t code = injected("cudaStreamSynchronize")) return code;
  finish(stream);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t code = injected("cudaDeviceSynchronize")) return code;
  finish_all_streams();
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (const cudaError_t code = injected("cudaStreamQuery")) return code;
  if (!streams_are_late() || !stream) return cudaSuccess;
  const std::lock_guard lock(device());
  if (!stream->queue->waiting.empty()) step(*stream->queue);  // whoever asks often enough gets there
  return stream->queue->waiting.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (const cudaError_t code = injected("cudaStreamWaitEvent")) return code;
  if (const std::shared_ptr<Point> point = event->point; point && point->queue)
    enqueue(stream, [point] { run_until(*point->queue, point->target); });
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  if (const cudaError_t code = injected("cudaEventCreate")) return code;
  *event = new CUevent_st;
  count_held("event", 1);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  count_held("event", -1);
  return injected("cudaEventDestroy");
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t code = injected("cudaEventRecord")) return code;
  auto point = std::make_shared<Point>();
  event->point = point;
  if (!streams_are_late() || !stream) {
    point->at = Clock::now();
    return cudaSuccess;
  }
  const std::lock_guard lock(device());
  enqueue(stream, [point] { point->at = Clock::now(); });
  point->queue = stream->queue;
  point->target = stream->queue->enqueued;
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t code = injected("cudaEventQuery")) return code;
  if (!event->point || !event->point->queue) return cudaSuccess;
  const std::lock_guard lock(device());
  Queue& queue = *event->point->queue;
  if (queue.done < event->point->target) step(queue);
  return queue.done < event->point->target ? cudaErrorNotReady : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t code = injected("cudaEventSynchronize")) return code;
  if (!event->point || !event->point->queue) return cudaSuccess;
  const std::lock_guard lock(device());
  run_until(*event->point->queue, event->point->target);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t first, cudaEvent_t last) {
  if (const cudaError_t code = injected("cudaEventElapsedTime")) return code;
  if (!first->point || !last->point) return cudaErrorInvalidResourceHandle;
  *milliseconds = std::chrono::duration<float, std::milli>(last->point->at - first->point->at).count();
  return cudaSuccess;
}

}  // extern "C"
