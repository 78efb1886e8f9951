// SPDX-License-Identifier: Apache-2.0
#include "core/device/cpu/cpu_stream.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/base/check.h"
#include "core/device/meta_stream.h"

namespace strata {
namespace {

class CpuEvent : public Event::State {
 public:
  bool done() const override {
    std::lock_guard lock(mutex_);
    return done_;
  }
  void wait() const override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
    if (failure_) std::rethrow_exception(failure_);
  }
  void complete(std::exception_ptr failure) {
    std::lock_guard lock(mutex_);
    done_ = true;
    failure_ = std::move(failure);
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool done_ = false;
  std::exception_ptr failure_;
};

}  // namespace

struct CpuStream::Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> work;
  bool closing = false;
  std::exception_ptr failure;  // touched by the stream's thread only
  std::thread thread;

  void run() {
    for (;;) {
      std::function<void()> next;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return closing || !work.empty(); });
        if (work.empty()) return;
        next = std::move(work.front());
        work.pop_front();
      }
      next();
    }
  }
  void push(std::function<void()> item) {
    std::lock_guard lock(mutex);
    work.push_back(std::move(item));
    changed.notify_one();
  }
};

CpuStream::CpuStream(WorkerPool& pool, Mode mode, Isa isa)
    : Stream(Scratch(make_cpu_allocator())), pool_(pool), mode_(mode), isa_(isa) {
  if (mode_ == Mode::inline_) return;
  queue_ = std::make_unique<Queue>();
  queue_->thread = std::thread([queue = queue_.get()] { queue->run(); });
}

CpuStream::~CpuStream() {
  if (!queue_) return;
  {
    std::lock_guard lock(queue_->mutex);
    queue_->closing = true;
    queue_->changed.notify_one();
  }
  queue_->thread.join();
}

void CpuStream::enqueue_threaded(std::function<void()> work) {
  // After a failure the rest of the queue is skipped: its inputs do not exist.
  queue_->push([queue = queue_.get(), work = std::move(work)] {
    if (queue->failure) return;
    try {
      work();
    } catch (...) {
      queue->failure = std::current_exception();
    }
  });
}

Event CpuStream::record() {
  if (mode_ == Mode::inline_) return {};
  auto event = std::make_shared<CpuEvent>();
  queue_->push([queue = queue_.get(), event] { event->complete(queue->failure); });
  return Event(event);
}

void CpuStream::wait(const Event& event) {
  // Also an event that is done already is looked at: the work before it may have failed.
  if (mode_ == Mode::inline_)
    event.wait();
  else if (event.state())
    enqueue_threaded([event] { event.wait(); });
}

void CpuStream::copy_bytes(const std::byte* from, std::byte* to, int64_t bytes) {
  if (from == to || bytes == 0) return;
  enqueue([=] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
}

CpuStream& cpu_stream(Stream& stream) {
  check(stream.device().kind == DeviceKind::cpu, "[cpu] a kernel was given a stream of {}",
        to_string(stream.device()));
  return static_cast<CpuStream&>(stream);
}

MetaStream& meta_stream(Stream& stream) {
  check(stream.device().kind == DeviceKind::meta, "[meta] expected the meta stream, got {}",
        to_string(stream.device()));
  return static_cast<MetaStream&>(stream);
}

}  // namespace strata
