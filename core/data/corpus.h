// SPDX-License-Identifier: Apache-2.0
// Several token files as one long row of tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/data/token_file.h"

namespace strata {

// Tokens of all files in order, numbered from 0; a file begins a new document. Safe to use from several
// threads.
class Corpus {
 public:
  explicit Corpus(std::vector<TokenFile> files);

  int64_t num_tokens() const { return begins_.back(); }
  int64_t num_documents() const;

  // Copies the tokens [begin, begin + out.size()).
  void read(int64_t begin, std::span<int32_t> out) const;
  bool has_mask() const;  // of any file
  // As TokenFile's. Tokens of files without a mask are learned.
  void hide_unlearned(int64_t begin, std::span<int32_t> ids, int32_t hidden) const;
  int64_t count_learned(int64_t begin, int64_t end) const;
  // First token of the first document that begins after `token`; num_tokens() when there is none.
  int64_t next_document(int64_t token) const;

  std::string where(int64_t token) const;  // "file.bin, token 17", for messages
  uint64_t fingerprint() const;            // see TokenFile

 private:
  size_t file_of(int64_t token) const;

  std::vector<TokenFile> files_;
  std::vector<int64_t> begins_;  // first token of each file, and the number of all tokens
};

}  // namespace strata
