// SPDX-License-Identifier: Apache-2.0
// The engine for kernels and containers without io_uring: a few threads that block in pread and pwrite. Works
// on any File, at the price of two context switches per request.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "core/base/check.h"
#include "core/io/io_backend.h"

namespace strata {
namespace {

class ThreadBackend : public IoBackend {
 public:
  explicit ThreadBackend(int threads) {
    check(threads >= 1 && threads <= 256, "[async io] threads must be 1..256, not {}", threads);
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }

  ~ThreadBackend() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_to_do_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::string_view name() const override { return "threads"; }

  void start(const Attempt& attempt) override {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(attempt);
    }
    work_to_do_.notify_one();
  }

  void reap(std::vector<Ended>& ended, AsyncIo::Clock::time_point until) override {
    std::unique_lock lock(mutex_);
    const auto some = [this] { return !ended_.empty(); };
    if (until == AsyncIo::Clock::time_point::max())
      work_done_.wait(lock, some);
    else
      work_done_.wait_until(lock, until, some);
    ended.insert(ended.end(), ended_.begin(), ended_.end());
    ended_.clear();
  }

  void cancel() override {
    {
      const std::lock_guard lock(mutex_);
      for (const Attempt& attempt : queue_) ended_.push_back({attempt.slot, -ECANCELED});
      queue_.clear();
    }
    work_done_.notify_one();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      work_to_do_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const Attempt attempt = queue_.front();
      queue_.pop_front();
      lock.unlock();
      const int64_t result = run_attempt(attempt);
      lock.lock();
      ended_.push_back({attempt.slot, result});
      work_done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_to_do_, work_done_;
  std::deque<Attempt> queue_;  // not begun
  std::vector<Ended> ended_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<IoBackend> make_thread_backend(int threads) {
  return std::make_unique<ThreadBackend>(threads);
}

}  // namespace strata
