// SPDX-License-Identifier: Apache-2.0
// Encodes documents that arrive in pieces, on several threads, and writes them in order. The result does not
// depend on the number of threads or on how the text was cut: units end where documents end or where
// Tokenizer::safe_prefix says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/worker_pool.h"
#include "core/data/token_file_writer.h"
#include "core/data/tokenizer.h"

namespace strata {

class DocumentEncoder {
 public:
  // `threads` as WorkerPool counts them. The tokenizer and the writer must outlive it.
  DocumentEncoder(const Tokenizer& tokenizer, TokenFileWriter& writer, int threads);

  void piece(std::string_view text);  // of the open document
  void end();                         // the open document ends; one that never had text is dropped
  // Writes what was held back for the next batch. Without it the last documents are lost.
  void finish();

 private:
  struct Unit {
    std::string text;
    bool begins = false, ends = false;  // its document
    std::vector<int32_t> ids;
  };
  void add_unit(size_t bytes, bool ends);
  void encode_batch();

  const Tokenizer& tokenizer_;
  TokenFileWriter& writer_;
  WorkerPool pool_;
  std::string pending_;     // text of the open document that belongs to no unit yet
  size_t next_cut_ = 0;     // bytes of `pending_` at which a safe place is looked for again
  bool has_text_ = false;   // of the open document
  bool has_units_ = false;  // the open document
  std::vector<Unit> batch_;
  size_t batch_bytes_ = 0;
};

}  // namespace strata
