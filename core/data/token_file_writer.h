// SPDX-License-Identifier: Apache-2.0
// Writes the pair described in token_file.h. Files appear under their names only when complete: they are
// written beside them under temporary names, flushed to disk and renamed, the .idx last, because without it
// there is no pair.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "core/data/token_file.h"

namespace strata {

// What commit() does when the pair is there already.
enum class Existing {
  refuse,   // Error(usage), also checked before anything is written
  replace,  // the old .idx is removed first: no moment shows an old index beside new tokens
  keep,     // the new pair is dropped: for caches, where whoever comes first has written the same bytes
};

// The type Megatron picks for a vocabulary.
TokenType token_type_for(int64_t vocab_size);

// Not thread-safe. I/O failures are Error(environment) with path, offset and the system's reason. An object
// that goes without commit() removes its temporary files.
class TokenFileWriter {
 public:
  struct Options {
    TokenType type = TokenType::u16;
    Existing existing = Existing::refuse;
    bool mask = false;                 // also write PREFIX.mask (loss_mask.h), unless all tokens are learned
    int64_t max_sequence = INT32_MAX;  // longer documents take several sequences (the format counts in i32)
  };
  // Makes the folder of `prefix` when it is missing.
  TokenFileWriter(const std::filesystem::path& prefix, Options options);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  // To the open document. Unlearned tokens need Options::mask.
  void append(std::span<const int32_t> tokens, bool learned = true);
  void end_document();  // a document without tokens leaves no trace
  void commit();        // ends the open document; nothing may be appended after it

  int64_t num_tokens() const;
  int64_t num_documents() const;
  int64_t num_learned() const;  // of all tokens; all of them without a mask

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace strata
