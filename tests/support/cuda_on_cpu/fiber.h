// SPDX-License-Identifier: Apache-2.0
// A fiber: a call stack of its own that its thread switches to and from. Threads of a CUDA block are fibers. x86-64;
// sanitizers are told of every switch, if they are linked.
#pragma once

#include <cstddef>

namespace strata::cuda_on_cpu {

class Fiber {
 public:
  // The stack its thread already runs on.
  Fiber();
  // `body(argument)` begins with the first switch here and must never return.
  Fiber(void (*body)(void*), void* argument);
  ~Fiber();  // of one that is not running; what its frames hold is lost
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From `from`, which must be running, to here; returns when somebody switches to `from`.
  void resume(Fiber& from);

 private:
  friend void begin(Fiber*);
  void* stack_pointer_ = nullptr;
  std::byte* stack_ = nullptr;  // null: the thread's own
  const void* bottom_ = nullptr;
  size_t size_ = 0;
  void* fake_stack_ = nullptr;   // AddressSanitizer's
  void* thread_state_ = nullptr;  // ThreadSanitizer's
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  Fiber* came_from_ = nullptr;
};

}  // namespace strata::cuda_on_cpu
