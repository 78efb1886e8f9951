// SPDX-License-Identifier: Apache-2.0
// A GGUF file's header as a sequence of little-endian values, through a small buffer. Nothing is read or
// allocated beyond the file.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "core/base/error.h"
#include "core/io/file.h"

namespace strata {

class GgufCursor {
 public:
  // Over [offset, end) of `file`, which lives longer.
  GgufCursor(File& file, int64_t offset, int64_t end) : file_(file), at_(offset), end_(end) {}

  int64_t at() const { return at_; }
  int64_t left() const { return end_ - at_; }

  [[noreturn]] void refuse(std::string found, std::string expected = {}) const {
    throw Error(Fault::model, {.what = "this is no whole GGUF file",
                               .where = file_.path(),
                               .found = std::move(found),
                               .expected = std::move(expected),
                               .fix = "fetch or write the file again"});
  }

  template <typename T>
  T take(const char* what) {
    T value;
    copy(std::as_writable_bytes(std::span(&value, 1)), what);
    return value;
  }
  // 8 bytes of length, then that many.
  std::string text(int64_t most, const char* what) {
    const auto length = take<uint64_t>(what);
    if (length > static_cast<uint64_t>(most))
      refuse(fmt::format("{} of {} bytes at byte {}", what, length, at_ - 8),
             fmt::format("at most {}", most));
    need(static_cast<int64_t>(length), what);
    std::string text(static_cast<size_t>(length), '\0');
    copy(std::as_writable_bytes(std::span(text)), what);
    return text;
  }
  void skip(uint64_t bytes, const char* what) {
    if (bytes > static_cast<uint64_t>(left())) ends_in(what);
    at_ += static_cast<int64_t>(bytes);
  }

 private:
  [[noreturn]] void ends_in(const char* what) const {
    refuse(fmt::format("the end, at byte {}, in {}", end_, what), "a whole header");
  }
  void need(int64_t bytes, const char* what) const {
    if (bytes > left()) ends_in(what);
  }
  void copy(std::span<std::byte> into, const char* what) {
    need(std::ssize(into), what);
    while (!into.empty()) {
      if (at_ < start_ || at_ >= start_ + filled_) {
        start_ = at_;
        filled_ = std::min<int64_t>(left(), std::ssize(buffer_));
        file_.read(start_, std::span(buffer_).first(static_cast<size_t>(filled_)));
      }
      const auto now = std::min<size_t>(into.size(), static_cast<size_t>(start_ + filled_ - at_));
      std::memcpy(into.data(), buffer_.data() + (at_ - start_), now);
      at_ += static_cast<int64_t>(now);
      into = into.subspan(now);
    }
  }

  File& file_;
  int64_t at_, end_;
  int64_t start_ = 0, filled_ = 0;  // what of the file is in the buffer
  std::array<std::byte, 65536> buffer_;
};

}  // namespace strata
