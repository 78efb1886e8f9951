// SPDX-License-Identifier: Apache-2.0
#include "core/data/utf8.h"

#include <algorithm>

namespace strata {
namespace {

// What must follow a lead byte: how many continuation bytes, and the range of the first of them.
struct Lead {
  int continuations;  // -1: not a lead byte
  uint8_t low, high;
};

constexpr Lead lead(uint8_t byte) {
  if (byte < 0x80) return {0, 0, 0};
  if (byte < 0xC2) return {-1, 0, 0};  // a continuation, or the overlong forms C0 and C1
  if (byte < 0xE0) return {1, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};  // below: overlong
  if (byte == 0xED) return {2, 0x80, 0x9F};  // above: surrogates
  if (byte < 0xF0) return {2, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0x90, 0xBF};  // below: overlong
  if (byte < 0xF4) return {3, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};  // above: beyond U+10FFFF
  return {-1, 0, 0};
}

}  // namespace

Utf8Fault Utf8Checker::fault(bool at_end) const {
  return {begin_, line_, lead_, std::max<int64_t>(1, offset_ - begin_), at_end};
}

std::optional<Utf8Fault> Utf8Checker::feed(std::string_view chunk) {
  for (const char c : chunk) {
    const auto byte = static_cast<uint8_t>(c);
    if (pending_ > 0) {
      if (byte < low_ || byte > high_) return fault(false);
      low_ = 0x80, high_ = 0xBF;
      --pending_;
    } else if (byte >= 0x80) {
      begin_ = offset_, lead_ = byte;
      const Lead next = lead(byte);
      if (next.continuations < 0) return fault(false);
      pending_ = next.continuations, low_ = next.low, high_ = next.high;
    } else if (byte == '\n') {
      ++line_;
    }
    ++offset_;
  }
  return std::nullopt;
}

std::optional<Utf8Fault> Utf8Checker::finish() const {
  if (pending_ > 0) return fault(true);
  return std::nullopt;
}

size_t incomplete_utf8_tail(std::string_view text) {
  // The longest prefix of a character that is not yet whole has three bytes.
  for (size_t tail = 1; tail <= std::min<size_t>(3, text.size()); ++tail) {
    const auto byte = static_cast<uint8_t>(text[text.size() - tail]);
    if (byte >= 0x80 && byte < 0xC0) continue;
    Utf8Checker checker;
    const bool could_go_on = !checker.feed(text.substr(text.size() - tail)) && checker.finish();
    return could_go_on ? tail : 0;
  }
  return 0;
}

std::string repaired_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    Utf8Checker checker;
    auto fault = checker.feed(bytes);
    if (!fault) fault = checker.finish();
    if (!fault) return text.append(bytes);
    text.append(bytes.substr(0, static_cast<size_t>(fault->offset))).append("\xEF\xBF\xBD");  // U+FFFD
    bytes.remove_prefix(static_cast<size_t>(fault->offset + fault->length));
  }
  return text;
}

}  // namespace strata
