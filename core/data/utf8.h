// SPDX-License-Identifier: Apache-2.0
// Is this text UTF-8? Checks text that arrives in chunks and says where it first goes wrong; repairs text
// that is not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace strata {

// The first character that is not one.
struct Utf8Fault {
  int64_t offset = 0;   // of its first byte, from the start of the text
  int64_t line = 1;     // it stands on, counted from 1
  uint8_t byte = 0;     // its first byte
  int64_t length = 1;   // bytes that a reader should skip: the longest beginning of a character, at least one
  bool at_end = false;  // it was well-formed as far as the text goes
};

// Accepts the well-formed byte sequences of the Unicode standard (table 3-7): no overlong forms, no
// surrogates, nothing above U+10FFFF. After a fault the checker is spent.
class Utf8Checker {
 public:
  std::optional<Utf8Fault> feed(std::string_view chunk);
  std::optional<Utf8Fault> finish() const;  // the text ends here

 private:
  Utf8Fault fault(bool at_end) const;

  int64_t offset_ = 0;  // of the next byte
  int64_t line_ = 1;
  int64_t begin_ = 0;                 // offset of the open character
  uint8_t lead_ = 0;                  // its first byte
  int pending_ = 0;                   // continuation bytes it still wants
  uint8_t low_ = 0x80, high_ = 0xBF;  // what the next one may be
};

// Bytes at the end of `text` that begin a character which more bytes could complete.
size_t incomplete_utf8_tail(std::string_view text);

// `bytes` with everything that is not UTF-8 replaced: one U+FFFD for each longest prefix of a character (the
// practice the Unicode standard recommends in section 3.9).
std::string repaired_utf8(std::string_view bytes);

}  // namespace strata
