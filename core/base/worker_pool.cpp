// SPDX-License-Identifier: Apache-2.0
// One call at a time is open. Workers may join it while it is open; the caller takes part itself, closes the
// call when no index is left, and then waits only for workers that are inside. A worker that the system has
// not scheduled is therefore never waited for.
#include "core/base/worker_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

using Clock = std::chrono::steady_clock;
using Body = std::function<void(int64_t, int)>;

// Operations of a step follow one another within a few microseconds, so a short spin catches the next one;
// sleeping costs two system calls and a wake-up of 5-50 us. Longer spins would take time from other
// processes.
constexpr auto kSpin = std::chrono::microseconds(40);

inline void pause() { __builtin_ia32_pause(); }

// Spins until done() or the spin time is over; returns done().
template <typename Done>
bool spin_until(Done done) {
  const auto end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return done();
}

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// The state of a call in one word, so that joining an open call is one compare-and-swap:
// bit 0: open; bits 1-31: workers inside; bits 32-63: number of the call.
constexpr uint64_t kOpen = 1, kInside = 2, kInsideMask = 0xFFFFFFFEu, kCall = uint64_t{1} << 32;

}  // namespace

struct WorkerPool::Impl {
  explicit Impl(int threads) : num_threads(threads) {
    for (int worker = 1; worker < threads; ++worker) workers.emplace_back([this, worker] { serve(worker); });
  }

  ~Impl() {
    {
      std::lock_guard lock(sleep_mutex);
      closing = true;
    }
    wake_workers.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void for_each(int64_t count, const Body& body);
  void serve(int worker);
  void run_indices(int worker);
  void wait_until_empty();

  const int num_threads;
  std::mutex call_mutex;  // held for the whole of a call

  // The open call. Written while nobody is inside.
  const Body* body = nullptr;
  int64_t count = 0;
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint64_t> state{0};

  std::mutex sleep_mutex;
  std::condition_variable wake_workers;
  std::condition_variable wake_caller;
  std::atomic<int> sleeping{0};  // workers asleep or about to be
  std::atomic<bool> caller_sleeping{false};
  bool closing = false;

  std::vector<std::thread> workers;
};

namespace {

// The pools whose bodies this thread is running, innermost first, so that a nested call can run in place.
class Inside {
 public:
  Inside(const void* pool, int worker) : pool_(pool), worker_(worker), outer_(innermost_) {
    innermost_ = this;
  }
  ~Inside() { innermost_ = outer_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  // This thread's worker number in `pool`, or -1 when it is not inside.
  static int worker_of(const void* pool) {
    for (const Inside* level = innermost_; level; level = level->outer_)
      if (level->pool_ == pool) return level->worker_;
    return -1;
  }

 private:
  static thread_local const Inside* innermost_;
  const void* pool_;
  int worker_;
  const Inside* outer_;
};
thread_local const Inside* Inside::innermost_ = nullptr;

}  // namespace

void WorkerPool::Impl::run_indices(int worker) {
  const Inside inside(this, worker);
  for (;;) {
    // Large pieces first, single indices at the end: few atomic operations, an even finish.
    const int64_t left = count - next.load(std::memory_order_relaxed);
    const int64_t piece = std::max<int64_t>(1, left / (8 * num_threads));
    const int64_t begin = next.fetch_add(piece, std::memory_order_relaxed);
    if (begin >= count) return;
    const int64_t end = std::min(begin + piece, count);
    try {
      for (int64_t index = begin; index < end; ++index) (*body)(index, worker);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
      next.store(count, std::memory_order_relaxed);  // the rest is not started
    }
  }
}

void WorkerPool::Impl::serve(int worker) {
  uint64_t served = 0;  // number of the last call this worker was in
  const auto has_call = [&] {
    const uint64_t now = state.load();
    return (now & kOpen) && now / kCall != served;
  };
  for (;;) {
    if (!spin_until(has_call)) {
      std::unique_lock lock(sleep_mutex);
      sleeping.fetch_add(1);  // before the test below: see the caller's order in for_each
      wake_workers.wait(lock, [&] { return closing || has_call(); });
      sleeping.fetch_sub(1);
      if (closing) return;
    }
    uint64_t now = state.load();
    while ((now & kOpen) && !state.compare_exchange_weak(now, now + kInside)) pause();
    if (!(now & kOpen)) continue;
    served = now / kCall;
    run_indices(worker);
    const uint64_t before = state.fetch_sub(kInside);
    const bool last = !(before & kOpen) && (before & kInsideMask) == kInside;
    if (last && caller_sleeping.load()) {
      std::lock_guard lock(sleep_mutex);
      wake_caller.notify_one();
    }
  }
}

void WorkerPool::Impl::wait_until_empty() {
  const auto empty = [&] { return (state.load() & kInsideMask) == 0; };
  if (spin_until(empty)) return;
  std::unique_lock lock(sleep_mutex);
  caller_sleeping.store(true);
  wake_caller.wait(lock, empty);
  caller_sleeping.store(false);
}

void WorkerPool::Impl::for_each(int64_t new_count, const Body& new_body) {
  if (new_count <= 0) return;
  if (const int worker = Inside::worker_of(this); worker >= 0) {
    for (int64_t index = 0; index < new_count; ++index) new_body(index, worker);
    return;
  }
  std::lock_guard call(call_mutex);
  if (num_threads == 1 || new_count == 1) {
    const Inside inside(this, 0);
    for (int64_t index = 0; index < new_count; ++index) new_body(index, 0);
    return;
  }
  body = &new_body;
  count = new_count;
  failure = nullptr;
  failed.store(false, std::memory_order_relaxed);
  next.store(0, std::memory_order_relaxed);
  // Sequentially consistent, like a worker's `sleeping` then `state`: either the worker sees the open call
  // before it sleeps, or this thread sees it sleeping.
  state.store((state.load() / kCall + 1) * kCall | kOpen);
  if (const int64_t wanted = std::min<int64_t>(sleeping.load(), count - 1); wanted > 0) {
    std::lock_guard lock(sleep_mutex);
    for (int64_t i = 0; i < wanted; ++i) wake_workers.notify_one();
  }
  run_indices(0);
  state.fetch_and(~kOpen);
  wait_until_empty();
  if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
}

WorkerPool::WorkerPool(int threads) {
  check(threads >= 0, "[worker_pool] {} threads", threads);
  impl_ = std::make_unique<Impl>(threads == 0 ? available_cores() : threads);
}

WorkerPool::~WorkerPool() = default;

int WorkerPool::threads() const { return impl_->num_threads; }

void WorkerPool::for_each(int64_t count, const std::function<void(int64_t, int)>& body) {
  impl_->for_each(count, body);
}

}  // namespace strata
