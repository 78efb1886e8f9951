// SPDX-License-Identifier: Apache-2.0
// A range of a file as characters, one after another, through a small buffer: what a parser reads that must
// not hold the whole text.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

#include "core/io/file.h"

namespace strata {

class FileBytes {
 public:
  // Of `bytes` at `offset`, which lie in the file; it lives longer.
  FileBytes(File& file, int64_t offset, int64_t bytes) : file_(file), at_(offset), left_(bytes) {}

  bool done() const { return next_ == filled_ && left_ == 0; }
  char peek() {
    if (next_ == filled_) fill();
    return buffer_[next_];
  }
  void advance() { ++next_; }

  // Over the rest; two of the same FileBytes share its position.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = char;

    Iterator() = default;
    explicit Iterator(FileBytes& bytes) : bytes_(&bytes) {}
    char operator*() const { return bytes_->peek(); }
    Iterator& operator++() {
      bytes_->advance();
      return *this;
    }
    void operator++(int) { bytes_->advance(); }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.done() == b.done(); }

   private:
    bool done() const { return bytes_ == nullptr || bytes_->done(); }
    FileBytes* bytes_ = nullptr;
  };

 private:
  void fill() {
    const auto now = static_cast<size_t>(std::min<int64_t>(left_, std::ssize(buffer_)));
    file_.read(at_, std::as_writable_bytes(std::span(buffer_)).first(now));
    at_ += static_cast<int64_t>(now);
    left_ -= static_cast<int64_t>(now);
    next_ = 0;
    filled_ = now;
  }

  File& file_;
  int64_t at_, left_;
  size_t next_ = 0, filled_ = 0;
  std::array<char, 65536> buffer_;
};

}  // namespace strata
