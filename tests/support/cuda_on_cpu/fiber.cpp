// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cuda_on_cpu/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "tests/support/cuda_on_cpu/sanitizers.h"

// strata_switch_stack(&saved, next): registers that a call keeps go onto the stack, then the stack changes.
extern "C" void strata_switch_stack(void** saved, void* next);
asm(R"(
.text
.globl strata_switch_stack
.type strata_switch_stack, @function
strata_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size strata_switch_stack, .-strata_switch_stack
)");

namespace strata::cuda_on_cpu {
namespace {

constexpr size_t kStackPage = 4096, kStack = 256 << 10;
constexpr unsigned kNoSync = 1;  // a switch of fibers orders nothing: barriers do

thread_local Fiber* starting = nullptr;

}  // namespace

// First thing on a new stack.
void begin(Fiber* fiber) {
  if (__sanitizer_finish_switch_fiber) {
    Fiber* const from = fiber->came_from_;
    __sanitizer_finish_switch_fiber(nullptr, &from->bottom_, &from->size_);
  }
  fiber->body_(fiber->argument_);
  __builtin_trap();
}

extern "C" void strata_begin_fiber() { begin(starting); }

Fiber::Fiber() {
  if (__tsan_get_current_fiber) thread_state_ = __tsan_get_current_fiber();
}

Fiber::Fiber(void (*body)(void*), void* argument) : body_(body), argument_(argument) {
  void* const memory = mmap(nullptr, kStackPage + kStack, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  stack_ = static_cast<std::byte*>(memory);
  mprotect(stack_, kStackPage, PROT_NONE);  // below the stack: running over it is a fault, not silence
  bottom_ = stack_ + kStackPage;
  size_ = kStack;
  // As strata_switch_stack() leaves a stack: six registers and the address to go on at; above them a
  // return address of zero.
  auto* top = reinterpret_cast<uint64_t*>(stack_ + kStackPage + kStack);
  *--top = 0;  // a function begins with the stack 16 bytes aligned, less this address
  *--top = reinterpret_cast<uint64_t>(&strata_begin_fiber);
  for (int i = 0; i < 6; ++i) *--top = 0;
  stack_pointer_ = top;
  if (__tsan_create_fiber) thread_state_ = __tsan_create_fiber(0);
}

Fiber::~Fiber() {
  if (!stack_) return;
  if (__tsan_destroy_fiber) __tsan_destroy_fiber(thread_state_);
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(stack_, kStackPage + kStack);
  munmap(stack_, kStackPage + kStack);
}

void Fiber::resume(Fiber& from) {
  came_from_ = &from;
  starting = this;
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&from.fake_stack_, bottom_, size_);
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(thread_state_, kNoSync);
  strata_switch_stack(&from.stack_pointer_, stack_pointer_);
  // Back on `from`, by way of whoever switched here.
  if (__sanitizer_finish_switch_fiber) {
    Fiber* const other = from.came_from_;
    __sanitizer_finish_switch_fiber(from.fake_stack_, &other->bottom_, &other->size_);
  }
}

}  // namespace strata::cuda_on_cpu
