// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/byte_level.h"

#include "core/data/code_point.h"

namespace strata {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    characters_[static_cast<size_t>(byte)] = itself ? static_cast<char32_t>(byte) : next++;
    bytes_[characters_[static_cast<size_t>(byte)]] = static_cast<int16_t>(byte);
  }
}

std::optional<std::string> ByteAlphabet::bytes(std::string_view text) const {
  std::string bytes;
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    if (c.value >= bytes_.size() || bytes_[c.value] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(bytes_[c.value]));
    text.remove_prefix(c.bytes);
  }
  return bytes;
}

}  // namespace strata
