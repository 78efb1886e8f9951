// SPDX-License-Identifier: Apache-2.0
// The checker against an independent decoder over every short byte sequence that matters, and in every
// chunking.
#include "core/data/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace strata {
namespace {

// Straight from the definition: a code point in the shortest form, no surrogate. Returns the length of the
// character at `at`, 0 when there is none.
size_t character_length(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t first = byte(at);
  if (first < 0x80) return 1;
  const size_t length = first >> 5 == 0b110 ? 2 : first >> 4 == 0b1110 ? 3 : first >> 3 == 0b11110 ? 4 : 0;
  if (length == 0 || at + length > text.size()) return 0;
  uint32_t code = first & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if (byte(at + i) >> 6 != 0b10) return 0;
    code = code << 6 | (byte(at + i) & 0x3F);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return 0;
  return length;
}

// Offset of the first byte of the first character that is none; -1 when the text is UTF-8.
int64_t expected_fault(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(text, at);
    if (length == 0) return static_cast<int64_t>(at);
    at += length;
  }
  return -1;
}

std::optional<Utf8Fault> check_text(std::string_view text, size_t chunk) {
  Utf8Checker checker;
  for (; !text.empty(); text.remove_prefix(std::min(chunk, text.size())))
    if (auto fault = checker.feed(text.substr(0, chunk))) return fault;
  return checker.finish();
}

TEST(Utf8, AgreesWithTheDefinitionOnAllShortTexts) {
  // Bytes at every edge of the table of well-formed sequences.
  const unsigned char edges[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFE, 0xFF};
  int64_t well_formed = 0;
  for (const char a : edges)
    for (const char b : edges)
      for (const char c : edges)
        for (const char d : edges) {
          const std::string text = {a, b, c, d};
          const int64_t expected = expected_fault(text);
          const auto fault = check_text(text, 4);
          ASSERT_EQ(fault ? fault->offset : -1, expected) << testing::PrintToString(text);
          const auto in_pieces = check_text(text, 1);
          ASSERT_EQ(in_pieces ? in_pieces->offset : -1, expected) << testing::PrintToString(text);
          well_formed += expected < 0;
        }
  EXPECT_GT(well_formed, 100);
}

TEST(Utf8, TellsOffsetLineByteAndLength) {
  struct Row {
    std::string text;
    Utf8Fault fault;
  };
  const Row rows[] = {
      {"caf\xE9 au lait", {3, 1, 0xE9, 1, false}},  // Latin-1: the accent is named, not the space after it
      {"a\nb\n\xC3\xA9\n\xFF", {7, 4, 0xFF, 1, false}},  // after a good character, on line 4
      {"\xE2\x82", {0, 1, 0xE2, 2, true}},               // ends inside a character
      {"x\n\xF0\x9F\x98\n", {2, 2, 0xF0, 3, false}},     // the newline does not count before the fault
      {"\xED\xA0\x80", {0, 1, 0xED, 1, false}},          // a surrogate
      {"\xC0\xAF", {0, 1, 0xC0, 1, false}},              // overlong
  };
  for (const Row& row : rows)
    for (const size_t chunk : {1, 2, 3, 100}) {
      const auto fault = check_text(row.text, chunk);
      ASSERT_TRUE(fault) << row.text;
      EXPECT_EQ(fault->offset, row.fault.offset) << row.text;
      EXPECT_EQ(fault->line, row.fault.line) << row.text;
      EXPECT_EQ(fault->byte, row.fault.byte) << row.text;
      EXPECT_EQ(fault->length, row.fault.length) << row.text;
      EXPECT_EQ(fault->at_end, row.fault.at_end) << row.text;
    }
}

TEST(Utf8, IncompleteTail) {
  EXPECT_EQ(incomplete_utf8_tail(""), 0u);
  EXPECT_EQ(incomplete_utf8_tail("abc"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("a\xC3"), 1u);
  EXPECT_EQ(incomplete_utf8_tail("a\xC3\xA9"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("\xE2\x82"), 2u);
  EXPECT_EQ(incomplete_utf8_tail("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_tail("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("\xE0\x80"), 0u);          // overlong: no byte can complete it
  EXPECT_EQ(incomplete_utf8_tail("\x80\x80\x80\x80"), 0u);  // continuations of nothing
  EXPECT_EQ(incomplete_utf8_tail("\xFF"), 0u);
}

}  // namespace
}  // namespace strata
