// SPDX-License-Identifier: Apache-2.0
#include "core/io/async_io.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/io/io_backend.h"

namespace strata {
namespace {

double seconds(AsyncIo::Clock::duration time) { return std::chrono::duration<double>(time).count(); }

AsyncIo::Clock::time_point after(std::chrono::nanoseconds timeout) {
  const auto now = AsyncIo::Clock::now();
  return timeout >= AsyncIo::Clock::time_point::max() - now ? AsyncIo::Clock::time_point::max()
                                                            : now + timeout;
}

constexpr AsyncIo::Clock::time_point kNever = AsyncIo::Clock::time_point::max();

}  // namespace

void require(const IoCompletion& completion) {
  if (completion.code == 0) return;
  static constexpr const char* kActions[] = {"read", "write", "sync"};
  const IoRequest& request = completion.request;
  const bool sync = request.op == IoRequest::Op::sync;
  throw IoError({.action = kActions[static_cast<int>(request.op)],
                 .path = request.file->path(),
                 .code = completion.code,
                 .offset = sync ? -1 : request.offset,
                 .bytes = std::ssize(request.memory),
                 .done = completion.bytes,
                 .direct = request.file->direct()});
}

AsyncIo::AsyncIo(std::unique_ptr<IoBackend> backend, int depth, std::string note)
    : backend_(std::move(backend)), note_(std::move(note)), slots_(static_cast<size_t>(depth)) {
  check(depth >= 1 && depth <= 4096, "[async io] depth must be 1..4096, not {}", depth);
  for (int slot = depth - 1; slot >= 0; --slot) free_slots_.push_back(slot);
}

// An engine that cannot wait for its requests has no safe way on (memory would be written after it is freed):
// a throw here ends the process.
AsyncIo::~AsyncIo() {
  if (in_flight_ > 0) backend_->cancel();
  while (in_flight_ > 0) reap(kNever);
}

void AsyncIo::submit(std::span<const IoRequest> requests) {
  for (const IoRequest& request : requests) {
    check(request.file != nullptr, "[async io] request {} has no file", request.token);
    if (request.op != IoRequest::Op::sync)
      request.file->check_range(request.op == IoRequest::Op::read ? "async read" : "async write",
                                request.offset, request.memory.data(), std::ssize(request.memory));
  }
  for (const IoRequest& request : requests) {
    check(!tokens_.contains(request.token),
          "[async io] token {} names a request that is still to be collected", request.token);
    while (free_slots_.empty()) {
      backend_->flush();
      reap(kNever);
    }
    begin(request);
  }
  backend_->flush();
}

void AsyncIo::begin(const IoRequest& request) {
  const int index = free_slots_.back();
  free_slots_.pop_back();
  const auto direction =
      request.op == IoRequest::Op::write ? Transfer::Direction::write : Transfer::Direction::read;
  slots_[index] = {request, Transfer(direction, std::ssize(request.memory), request.file->alignment().offset),
                   Clock::now()};
  tokens_.emplace(request.token, true);
  if (in_flight_++ == 0) busy_since_ = slots_[index].submitted;
  stats_.peak_in_flight = std::max(stats_.peak_in_flight, in_flight_);

  if (request.op == IoRequest::Op::sync) {
    if (const int code = request.file->sync_failure(); code != 0) return end(index, code);
  } else if (request.memory.empty()) {
    return end(index, 0);
  }
  start_attempt(index);
}

void AsyncIo::start_attempt(int index) {
  const Slot& slot = slots_[index];
  IoBackend::Attempt attempt = {index, slot.request.op, slot.request.file, slot.request.offset, {}};
  if (slot.request.op != IoRequest::Op::sync) {
    attempt.offset += slot.transfer.done();
    attempt.memory = slot.request.memory.subspan(slot.transfer.done(), slot.transfer.next_bytes());
  }
  backend_->start(attempt);
}

void AsyncIo::reap(Clock::time_point until) {
  std::vector<IoBackend::Ended> attempts;
  backend_->reap(attempts, until);
  for (const IoBackend::Ended& attempt : attempts) attempt_ended(attempt.slot, attempt.result);
  backend_->flush();
}

void AsyncIo::attempt_ended(int index, int64_t result) {
  Slot& slot = slots_[index];
  if (slot.request.op == IoRequest::Op::sync) {
    if (result == -EINTR) {
      ++stats_.resubmitted;
      return start_attempt(index);
    }
    const int code = result < 0 ? static_cast<int>(-result) : 0;
    if (code != ECANCELED) slot.request.file->report_sync(code);
    return end(index, code);
  }
  switch (slot.transfer.advance(result)) {
    case Transfer::State::unfinished:
      ++stats_.resubmitted;
      return start_attempt(index);
    case Transfer::State::finished:
      return end(index, 0);
    case Transfer::State::failed:
      return end(index, slot.transfer.code());
  }
}

void AsyncIo::end(int index, int code) {
  const Slot& slot = slots_[index];
  const auto now = Clock::now();
  const int64_t bytes = slot.transfer.done();
  const bool reading = slot.request.op == IoRequest::Op::read,
             writing = slot.request.op == IoRequest::Op::write;
  IoStats::Direction& direction = reading ? stats_.read : writing ? stats_.write : stats_.sync;
  ++direction.requests;
  direction.bytes += bytes;
  direction.in_flight_s += seconds(now - slot.submitted);
  if (code != 0) ++stats_.failed;
  if (--in_flight_ == 0) stats_.busy_s += seconds(now - busy_since_);

  ended_.push_back({slot.request, bytes, code});
  tokens_[slot.request.token] = false;
  free_slots_.push_back(index);
}

IoCompletion AsyncIo::collect(std::deque<IoCompletion>::iterator which) {
  const IoCompletion completion = *which;
  ended_.erase(which);
  tokens_.erase(completion.request.token);
  return completion;
}

IoCompletion AsyncIo::wait(uint64_t token) {
  const auto known = tokens_.find(token);
  check(known != tokens_.end(), "[async io] no request with token {} is to be collected", token);
  while (known->second) reap(kNever);
  return collect(std::find_if(ended_.begin(), ended_.end(), [&](const IoCompletion& completion) {
    return completion.request.token == token;
  }));
}

std::optional<IoCompletion> AsyncIo::wait_any(std::chrono::nanoseconds timeout) {
  const auto until = after(timeout);
  bool looked = false;
  while (ended_.empty() && in_flight_ > 0) {
    if (looked && Clock::now() >= until) return std::nullopt;
    reap(until);
    looked = true;
  }
  if (ended_.empty()) return std::nullopt;
  return collect(ended_.begin());
}

std::vector<IoCompletion> AsyncIo::wait_all() {
  while (in_flight_ > 0) reap(kNever);
  std::vector<IoCompletion> all(ended_.begin(), ended_.end());
  ended_.clear();
  tokens_.clear();
  return all;
}

void AsyncIo::cancel() {
  if (in_flight_ > 0) backend_->cancel();
}

std::string AsyncIo::register_buffers(std::span<const std::span<std::byte>> buffers) {
  check(in_flight_ == 0, "[async io] buffers are registered with nothing in flight, but {} requests are",
        in_flight_);
  return backend_->register_buffers(buffers);
}

std::string AsyncIo::register_file(const File& file) { return backend_->register_file(file); }
void AsyncIo::forget_file(const File& file) { backend_->forget_file(file); }
std::string_view AsyncIo::name() const { return backend_->name(); }

int64_t run_attempt(const IoBackend::Attempt& attempt) {
  switch (attempt.op) {
    case IoRequest::Op::read:
      return attempt.file->read_once(attempt.offset, attempt.memory);
    case IoRequest::Op::write:
      return attempt.file->write_once(attempt.offset, attempt.memory);
    case IoRequest::Op::sync:
      return attempt.file->sync_once();
  }
  return -EINVAL;
}

std::unique_ptr<AsyncIo> make_kernel_async_io(const AsyncIoOptions& options) {
  std::string note = "threads were asked for";
  if (options.engine != AsyncEngine::threads) {
    UringOutcome uring = make_uring_backend(options.depth);
    if (uring.backend) return std::make_unique<AsyncIo>(std::move(uring.backend), options.depth);
    if (options.engine == AsyncEngine::uring)
      throw Error(Fault::environment, {.what = "io_uring was asked for and cannot be used",
                                       .where = "",
                                       .found = uring.reason,
                                       .expected = "an io_uring, Linux 5.11 or later",
                                       .fix = "let the program choose the engine, or ask for threads"});
    note = uring.reason;
  }
  return std::make_unique<AsyncIo>(make_thread_backend(options.threads), options.depth, note);
}

}  // namespace strata
