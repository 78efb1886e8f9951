// SPDX-License-Identifier: Apache-2.0
// The io_uring engine (liburing; Linux 5.11 and later, features beyond that are used where the kernel has
// them). Polling modes are left out on purpose: at 1 MiB a request, 25 GB/s is 25 thousand requests a second.
#include <liburing.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "core/base/check.h"
#include "core/io/io_backend.h"

namespace strata {
namespace {

constexpr int kFileSlots = 64;
constexpr int64_t kMaxRegistered = int64_t{1} << 30;  // bytes of one registered buffer, by the kernel's rule
constexpr uint64_t kCancelMark = ~uint64_t{0};

bool passing(int code) { return code == -EINTR || code == -EAGAIN || code == -EBUSY; }

std::string setup_reason(int code) {
  switch (code) {
    case -ENOSYS:
      return "this kernel has no io_uring (Linux 5.11 or later is needed)";
    case -EPERM:
    case -EACCES:
      return "the kernel refuses io_uring to this process (container seccomp profile, or sysctl "
             "kernel.io_uring_disabled)";
    case -ENOMEM:
      return "no memory for an io_uring (is RLIMIT_MEMLOCK, ulimit -l, very low?)";
    default:
      return "io_uring cannot be set up: " + io_code_text(-code);
  }
}

class UringBackend : public IoBackend {
 public:
  explicit UringBackend(const io_uring& ring) : ring_(ring) {
    has_file_table_ = io_uring_register_files_sparse(&ring_, kFileSlots) == 0;
    for (int slot = kFileSlots - 1; slot >= 0; --slot) free_file_slots_.push_back(slot);
  }
  ~UringBackend() override { io_uring_queue_exit(&ring_); }

  std::string_view name() const override { return "io_uring"; }

  void start(const Attempt& attempt) override {
    check(attempt.file->descriptor() >= 0, "[io_uring] '{}' is not a file of the kernel",
          attempt.file->path());
    io_uring_sqe* entry = next_entry();
    const auto known = file_slots_.find(attempt.file);
    const int fd = known != file_slots_.end() ? known->second : attempt.file->descriptor();
    const auto bytes = static_cast<unsigned>(attempt.memory.size());
    const auto offset = static_cast<uint64_t>(attempt.offset);
    const int buffer = attempt.op == IoRequest::Op::sync ? -1 : buffer_of(attempt.memory);
    switch (attempt.op) {
      case IoRequest::Op::read:
        if (buffer >= 0)
          io_uring_prep_read_fixed(entry, fd, attempt.memory.data(), bytes, offset, buffer);
        else
          io_uring_prep_read(entry, fd, attempt.memory.data(), bytes, offset);
        break;
      case IoRequest::Op::write:
        if (buffer >= 0)
          io_uring_prep_write_fixed(entry, fd, attempt.memory.data(), bytes, offset, buffer);
        else
          io_uring_prep_write(entry, fd, attempt.memory.data(), bytes, offset);
        break;
      case IoRequest::Op::sync:
        io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
        break;
    }
    if (known != file_slots_.end()) io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data64(entry, static_cast<uint64_t>(attempt.slot));
  }

  void flush() override {
    if (io_uring_sq_ready(&ring_) == 0) return;
    // What a busy kernel does not take now goes with the next flush or reap.
    const int code = io_uring_submit(&ring_);
    if (code < 0 && !passing(code)) throw_failure("submit to", code);
  }

  void reap(std::vector<Ended>& ended, AsyncIo::Clock::time_point until) override {
    while (!take_ended(ended)) {
      const int code = submit_and_wait(until);
      if (code == -ETIME || (passing(code) && AsyncIo::Clock::now() >= until)) {
        take_ended(ended);
        return;
      }
      if (code == -EAGAIN || code == -EBUSY) std::this_thread::yield();
      if (code < 0 && !passing(code)) throw_failure("wait for", code);
    }
  }

  void cancel() override {
    io_uring_sqe* entry = next_entry();
    io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(entry, kCancelMark);
    flush();  // a kernel before 5.19 refuses, and the requests simply run to their end
  }

  std::string register_buffers(std::span<const std::span<std::byte>> buffers) override {
    if (!buffers_.empty()) io_uring_unregister_buffers(&ring_);
    buffers_.clear();
    std::vector<iovec> pieces;
    int64_t total = 0;
    for (const std::span<std::byte> buffer : buffers) {
      for (int64_t at = 0; at < std::ssize(buffer); at += kMaxRegistered)
        pieces.push_back(
            {buffer.data() + at, static_cast<size_t>(std::min(std::ssize(buffer) - at, kMaxRegistered))});
      total += std::ssize(buffer);
    }
    if (pieces.empty()) return "";
    const int code = io_uring_register_buffers(&ring_, pieces.data(), static_cast<unsigned>(pieces.size()));
    if (code < 0) {
      rlimit limit{};
      getrlimit(RLIMIT_MEMLOCK, &limit);
      return fmt::format("the kernel does not register {} bytes: {}; RLIMIT_MEMLOCK (ulimit -l) is {} bytes",
                         total, io_code_text(-code), limit.rlim_cur);
    }
    for (size_t i = 0; i < pieces.size(); ++i)
      buffers_.push_back(
          {static_cast<std::byte*>(pieces[i].iov_base), pieces[i].iov_len, static_cast<int>(i)});
    std::sort(buffers_.begin(), buffers_.end(),
              [](const Piece& a, const Piece& b) { return a.data < b.data; });
    return "";
  }

  std::string register_file(const File& file) override {
    if (!has_file_table_) return "this kernel has no sparse table of registered files (Linux 5.19 or later)";
    check(file.descriptor() >= 0, "[io_uring] '{}' is not a file of the kernel", file.path());
    if (file_slots_.contains(&file)) return "";
    if (free_file_slots_.empty()) return fmt::format("{} files are registered already", kFileSlots);
    const int slot = free_file_slots_.back();
    const int fd = file.descriptor();
    if (const int code = io_uring_register_files_update(&ring_, static_cast<unsigned>(slot), &fd, 1);
        code < 0)
      return "the kernel does not register the file: " + io_code_text(-code);
    free_file_slots_.pop_back();
    file_slots_.emplace(&file, slot);
    return "";
  }

  void forget_file(const File& file) override {
    const auto known = file_slots_.find(&file);
    if (known == file_slots_.end()) return;
    const int none = -1;
    io_uring_register_files_update(&ring_, static_cast<unsigned>(known->second), &none, 1);
    free_file_slots_.push_back(known->second);
    file_slots_.erase(known);
  }

 private:
  struct Piece {
    std::byte* data;
    size_t bytes;
    int index;
  };

  [[noreturn]] static void throw_failure(const char* action, int code) {
    throw IoError({.action = action, .path = "io_uring", .code = -code});
  }

  io_uring_sqe* next_entry() {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    while (entry == nullptr) {  // a busy kernel left earlier entries in the queue
      flush();
      entry = io_uring_get_sqe(&ring_);
    }
    return entry;
  }

  // The registered buffer that holds the whole range, or -1.
  int buffer_of(std::span<const std::byte> memory) const {
    auto after =
        std::upper_bound(buffers_.begin(), buffers_.end(), memory.data(),
                         [](const std::byte* data, const Piece& piece) { return data < piece.data; });
    if (after == buffers_.begin()) return -1;
    const Piece& piece = *--after;
    return memory.data() + memory.size() <= piece.data + piece.bytes ? piece.index : -1;
  }

  bool take_ended(std::vector<Ended>& ended) {
    unsigned head = 0, count = 0;
    const size_t before = ended.size();
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry) {
      ++count;
      if (entry->user_data != kCancelMark) ended.push_back({static_cast<int>(entry->user_data), entry->res});
    }
    io_uring_cq_advance(&ring_, count);
    return ended.size() > before;
  }

  int submit_and_wait(AsyncIo::Clock::time_point until) {
    if (until == AsyncIo::Clock::time_point::max()) return io_uring_submit_and_wait(&ring_, 1);
    const auto left = std::chrono::nanoseconds(until - AsyncIo::Clock::now()).count();
    if (left <= 0) {
      const int code = io_uring_submit(&ring_);
      return code < 0 ? code : -ETIME;
    }
    __kernel_timespec time = {left / 1'000'000'000, left % 1'000'000'000};
    io_uring_cqe* entry = nullptr;
    return io_uring_submit_and_wait_timeout(&ring_, &entry, 1, &time, nullptr);
  }

  io_uring ring_;
  bool has_file_table_ = false;
  std::vector<int> free_file_slots_;
  std::unordered_map<const File*, int> file_slots_;
  std::vector<Piece> buffers_;  // by address
};

}  // namespace

UringOutcome make_uring_backend(int depth) {
  io_uring ring{};
  const auto entries = static_cast<unsigned>(depth + 1);  // one for a cancellation
  // No task-run flags: they tie completions to the thread that submitted, and a request may be collected by
  // another.
  const int code = io_uring_queue_init(entries, &ring, 0);
  if (code < 0) return {nullptr, setup_reason(code)};
  // Both came with Linux 5.11: waiting with a timeout, and completions that are never dropped.
  if (!(ring.features & IORING_FEAT_EXT_ARG) || !(ring.features & IORING_FEAT_NODROP)) {
    io_uring_queue_exit(&ring);
    return {nullptr, "the io_uring of this kernel is too old (Linux 5.11 or later is needed)"};
  }
  return {std::make_unique<UringBackend>(ring), ""};
}

}  // namespace strata
