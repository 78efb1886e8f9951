// SPDX-License-Identifier: Apache-2.0
// GPT-2's alphabet: each of the 256 bytes is written as one printable character, so that vocabularies of
// bytes are text files. Printable Latin-1 stands for itself, the other bytes for U+0100 onwards in their
// order (bytes_to_unicode of openai/gpt-2, encoder.py).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace strata {

class ByteAlphabet {
 public:
  ByteAlphabet();
  char32_t character(unsigned char byte) const { return characters_[byte]; }
  // The bytes that `text` stands for; nothing when a character is not of the alphabet.
  std::optional<std::string> bytes(std::string_view text) const;

 private:
  std::array<char32_t, 256> characters_{};
  std::array<int16_t, 0x144> bytes_{};  // by character; -1: none
};

}  // namespace strata
