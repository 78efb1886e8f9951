// SPDX-License-Identifier: Apache-2.0
// Which tokens of a token file are learned: PREFIX.mask beside PREFIX.bin and PREFIX.idx, one bit a token.
// Other programs read the pair as they always do and know nothing of it; without the file every token is
// learned.
//
// PREFIX.mask, little-endian:
//   byte 0  "STRMASK\0"                  byte 24  u64 hash of the sequence lengths and document indices of
//   PREFIX.idx byte 8  u64 version, 1               byte 32  u64 hash of the bits byte 16 u64 number of
//   tokens N       byte 40  ceil(N / 8) bytes: token t is bit t % 8 of byte t / 8, spare bits 0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "core/data/mapped_file.h"

namespace strata {

namespace loss_mask {
inline constexpr std::string_view kMagic{"STRMASK\0", 8};
inline constexpr uint64_t kVersion = 1;
inline constexpr int64_t kVersionAt = 8, kTokensAt = 16, kDocumentsAt = 24, kBitsHashAt = 32,
                         kHeaderBytes = 40;
}  // namespace loss_mask

std::filesystem::path mask_path(const std::filesystem::path& prefix);

// What ties a mask to its index: `lengths` and `document_indices` as they lie in PREFIX.idx.
uint64_t document_hash(std::span<const std::byte> lengths, std::span<const std::byte> document_indices);

// Read-only and safe to use from several threads; positions are in tokens.
class LossMask {
 public:
  // Reads the whole file and proves that it is whole and belongs to an index of `num_tokens` tokens with that
  // document_hash; anything else is Error(data) with file and byte.
  LossMask(const std::filesystem::path& path, int64_t num_tokens, uint64_t documents);

  // Writes `hidden` over those of `ids`, the tokens from `begin` on, that are not learned.
  void hide(int64_t begin, std::span<int32_t> ids, int32_t hidden) const;
  int64_t count_learned(int64_t begin, int64_t end) const;  // of the tokens [begin, end)
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  bool learned(int64_t token) const;
  void require_inside(int64_t begin, int64_t end) const;

  MappedFile file_;
  int64_t num_tokens_ = 0;
  uint64_t fingerprint_ = 0;
};

// Collects the bits while tokens are written.
class LossMaskBuilder {
 public:
  void append(int64_t tokens, bool learned);
  std::vector<std::byte> file(uint64_t documents) const;  // the bytes of PREFIX.mask
  int64_t num_learned() const { return num_learned_; }

 private:
  std::vector<std::byte> bits_;
  int64_t num_tokens_ = 0, num_learned_ = 0;
};

}  // namespace strata
