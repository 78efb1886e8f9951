// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), for files that are small and must be recognised: manifests, tokenizers. Tensor data
// has CRC-32C and the digest, which are an order of magnitude faster.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace strata {

class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  std::string hex();  // 64 digits; ends the hash

 private:
  void block(const std::byte* data);

  std::array<uint32_t, 8> state_{0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};
  std::array<std::byte, 64> pending_{};
  uint64_t bytes_ = 0;
};

std::string sha256_hex(std::string_view text);

}  // namespace strata
