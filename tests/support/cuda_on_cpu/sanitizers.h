// SPDX-License-Identifier: Apache-2.0
// What the fiber runtime tells sanitizers. Null when a program is built without them.
#pragma once

#include <cstddef>

extern "C" {
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
[[gnu::weak]] void __tsan_acquire(void* address);
[[gnu::weak]] void __tsan_release(void* address);
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, size_t size);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom_old, size_t* size_old);
[[gnu::weak]] void __asan_poison_memory_region(const volatile void* address, size_t size);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void* address, size_t size);
}

namespace strata::cuda_on_cpu {

inline bool has_thread_sanitizer() { return __tsan_create_fiber != nullptr; }
inline bool has_address_sanitizer() { return __asan_poison_memory_region != nullptr; }

// What happened before release(token) happens before whatever follows acquire(token).
inline void release(void* token) {
  if (__tsan_release) __tsan_release(token);
}
inline void acquire(void* token) {
  if (__tsan_acquire) __tsan_acquire(token);
}

}  // namespace strata::cuda_on_cpu
