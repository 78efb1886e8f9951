// SPDX-License-Identifier: Apache-2.0
// The keys and values in front of a GGUF file's tensors, as bytes in the order they were added. Layout: ggml,
// docs/gguf.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/adapters/gguf_header.h"

namespace strata {

class GgufValues {
 public:
  void text(std::string_view key, std::string_view value);
  void u32(std::string_view key, int64_t value);
  void f32(std::string_view key, double value);
  void boolean(std::string_view key, bool value);
  void texts(std::string_view key, std::span<const std::string> values);
  void i32s(std::string_view key, std::span<const int32_t> values);
  void f32s(std::string_view key, std::span<const float> values);

  int64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(std::string_view key, GgufType type);
  void array(std::string_view key, GgufType type, size_t count);

  int64_t count_ = 0;
  std::string bytes_;
};

// A little-endian value, and a text with its length, as these files have them.
template <typename T>
void append_raw(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void append_text(std::string& bytes, std::string_view text);

}  // namespace strata
