// SPDX-License-Identifier: Apache-2.0
#include "core/io/file.h"

#include "core/base/check.h"
#include "core/io/transfer.h"

namespace strata {
namespace {

using State = Transfer::State;

int64_t value_or_throw(int64_t result, const char* action, const File& file) {
  if (result < 0) throw IoError({.action = action, .path = file.path(), .code = static_cast<int>(-result)});
  return result;
}

}  // namespace

void File::check_range(const char* action, int64_t offset, const void* memory, int64_t bytes) const {
  check(offset >= 0 && bytes >= 0, "[{}] '{}': offset {} and length {} must not be negative", action, path_,
        offset, bytes);
  check(offset % alignment_.offset == 0 && bytes % alignment_.offset == 0,
        "[{}] '{}': offset {} and length {} must be multiples of {} for direct I/O", action, path_, offset,
        bytes, alignment_.offset);
  check(bytes == 0 || reinterpret_cast<uintptr_t>(memory) % static_cast<uintptr_t>(alignment_.memory) == 0,
        "[{}] '{}': memory at {} must be aligned to {} bytes for direct I/O", action, path_, memory,
        alignment_.memory);
}

int64_t File::read_up_to(int64_t offset, std::span<std::byte> into) {
  const int64_t bytes = std::ssize(into);
  check_range("read", offset, into.data(), bytes);
  if (bytes == 0) return 0;
  Transfer transfer(Transfer::Direction::read, bytes, alignment_.offset);
  State state = State::unfinished;
  while (state == State::unfinished)
    state = transfer.advance(
        read_once(offset + transfer.done(), into.subspan(transfer.done(), transfer.next_bytes())));
  if (state == State::failed && transfer.code() != kEndOfFile)
    throw IoError({.action = "read",
                   .path = path_,
                   .code = transfer.code(),
                   .offset = offset,
                   .bytes = bytes,
                   .done = transfer.done(),
                   .direct = direct_});
  return transfer.done();
}

void File::read(int64_t offset, std::span<std::byte> into) {
  const int64_t done = read_up_to(offset, into);
  if (done < std::ssize(into))
    throw IoError({.action = "read",
                   .path = path_,
                   .code = kEndOfFile,
                   .offset = offset,
                   .bytes = std::ssize(into),
                   .done = done,
                   .direct = direct_});
}

void File::write(int64_t offset, std::span<const std::byte> from) {
  const int64_t bytes = std::ssize(from);
  check_range("write", offset, from.data(), bytes);
  if (bytes == 0) return;
  Transfer transfer(Transfer::Direction::write, bytes, alignment_.offset);
  State state = State::unfinished;
  while (state == State::unfinished)
    state = transfer.advance(
        write_once(offset + transfer.done(), from.subspan(transfer.done(), transfer.next_bytes())));
  if (state == State::failed)
    throw IoError({.action = "write",
                   .path = path_,
                   .code = transfer.code(),
                   .offset = offset,
                   .bytes = bytes,
                   .done = transfer.done(),
                   .direct = direct_});
}

void File::report_sync(int code) {
  int none = 0;
  if (code != 0 && code != EINTR) sync_failure_.compare_exchange_strong(none, code);
}

int64_t File::sync_once() {
  if (const int code = sync_failure(); code != 0) return -code;
  const int64_t result = do_sync();
  if (result < 0) report_sync(static_cast<int>(-result));
  return result;
}

void File::sync() {
  int64_t result = sync_once();
  while (result == -EINTR) result = sync_once();
  value_or_throw(result, "sync", *this);
}

int64_t File::size() { return value_or_throw(do_size(), "get the size of", *this); }

void File::truncate(int64_t bytes) {
  check(bytes >= 0, "[truncate] '{}': {} bytes", path_, bytes);
  value_or_throw(do_truncate(bytes), "change the size of", *this);
}

bool File::preallocate(int64_t bytes) {
  check(bytes >= 0, "[preallocate] '{}': {} bytes", path_, bytes);
  return bytes == 0 || value_or_throw(do_preallocate(bytes), "reserve space for", *this) == 1;
}

}  // namespace strata
