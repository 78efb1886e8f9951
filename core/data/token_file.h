// SPDX-License-Identifier: Apache-2.0
// Reads tokenized text in Megatron's format: PREFIX.bin holds the tokens of all documents one after the
// other, PREFIX.idx says where sequences and documents begin. Both are memory-mapped; nothing is copied.
//
// PREFIX.idx, little-endian and not aligned:
//   byte 0  "MMIDIDX\0\0"              byte 18  u64 number of sequences S
//   byte 9  u64 version, 1             byte 26  u64 number of document indices D
//   byte 17 u8 element type            byte 34  i32 lengths[S] in tokens, i64 pointers[S] in bytes of
//   PREFIX.bin,
//                                               i64 document_indices[D]
// Document d is the sequences [document_indices[d], document_indices[d + 1]), so there are D - 1 documents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "core/data/loss_mask.h"
#include "core/data/mapped_file.h"

namespace strata {

// Element types tokens are kept in; the values are the format's codes.
enum class TokenType : uint8_t { u8 = 1, i32 = 4, u16 = 8 };

int64_t size_of(TokenType type);
std::string_view name(TokenType type);

namespace token_index {
inline constexpr std::string_view kMagic{"MMIDIDX\0\0", 9};
inline constexpr uint64_t kVersion = 1;
inline constexpr int64_t kVersionAt = 9, kTypeAt = 17, kSequencesAt = 18, kDocumentsAt = 26,
                         kHeaderBytes = 34;
}  // namespace token_index

// A path given with or without ".bin" or ".idx", as the prefix of the pair; and the names of the pair.
std::filesystem::path token_file_prefix(const std::filesystem::path& path);
std::filesystem::path bin_path(const std::filesystem::path& prefix);
std::filesystem::path idx_path(const std::filesystem::path& prefix);

// Read-only and safe to use from several threads. Positions and sizes are in tokens unless they say bytes.
class TokenFile {
 public:
  // Takes a prefix or either file of the pair. Reads the whole index and proves that it is consistent with
  // itself and with the .bin; anything else is Error(data) naming file, byte offset, what was found and what
  // was expected.
  explicit TokenFile(const std::filesystem::path& path);

  const std::filesystem::path& bin_path() const { return bin_.path(); }
  TokenType type() const { return type_; }
  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_sequences() const { return num_sequences_; }
  int64_t num_documents() const { return num_documents_; }

  // First token of document d; num_tokens() for d == num_documents().
  int64_t document_begin(int64_t document) const;
  // First token of the first document that begins after `token`; num_tokens() when there is none.
  int64_t next_document(int64_t token) const;

  // Copies the tokens [begin, begin + out.size()).
  void read(int64_t begin, std::span<int32_t> out) const;

  // What is learned: all tokens, or those that PREFIX.mask names.
  bool has_mask() const { return mask_.has_value(); }
  // Writes `hidden` over those of `ids`, the tokens from `begin` on, that are not learned.
  void hide_unlearned(int64_t begin, std::span<int32_t> ids, int32_t hidden) const;
  int64_t count_learned(int64_t begin, int64_t end) const;

  // Changes with the index, the mask, the sizes and (sampled at 64 places) the tokens: tells a resumed run
  // that its data is not the data it began with.
  uint64_t fingerprint() const;

 private:
  int64_t sequence_begin(int64_t sequence) const;

  MappedFile idx_;
  MappedFile bin_;
  std::optional<LossMask> mask_;
  TokenType type_ = TokenType::u16;
  int64_t num_tokens_ = 0;
  int64_t num_sequences_ = 0;
  int64_t num_documents_ = 0;
};

}  // namespace strata
