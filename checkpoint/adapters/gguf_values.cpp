// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_values.h"

#include "core/base/check.h"

namespace strata {

void append_text(std::string& bytes, std::string_view text) {
  append_raw<uint64_t>(bytes, text.size());
  bytes += text;
}

void GgufValues::begin(std::string_view key, GgufType type) {
  append_text(bytes_, key);
  append_raw(bytes_, static_cast<uint32_t>(type));
  ++count_;
}

void GgufValues::array(std::string_view key, GgufType type, size_t count) {
  begin(key, GgufType::array);
  append_raw(bytes_, static_cast<uint32_t>(type));
  append_raw<uint64_t>(bytes_, count);
}

void GgufValues::text(std::string_view key, std::string_view value) {
  begin(key, GgufType::string);
  append_text(bytes_, value);
}

void GgufValues::u32(std::string_view key, int64_t value) {
  begin(key, GgufType::u32);
  append_raw(bytes_, narrow<uint32_t>(value));
}

void GgufValues::f32(std::string_view key, double value) {
  begin(key, GgufType::f32);
  append_raw(bytes_, static_cast<float>(value));
}

void GgufValues::boolean(std::string_view key, bool value) {
  begin(key, GgufType::boolean);
  append_raw<uint8_t>(bytes_, value ? 1 : 0);
}

void GgufValues::texts(std::string_view key, std::span<const std::string> values) {
  array(key, GgufType::string, values.size());
  for (const std::string& value : values) append_text(bytes_, value);
}

void GgufValues::i32s(std::string_view key, std::span<const int32_t> values) {
  array(key, GgufType::i32, values.size());
  for (const int32_t value : values) append_raw(bytes_, value);
}

void GgufValues::f32s(std::string_view key, std::span<const float> values) {
  array(key, GgufType::f32, values.size());
  for (const float value : values) append_raw(bytes_, value);
}

}  // namespace strata
