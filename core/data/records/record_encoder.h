// SPDX-License-Identifier: Apache-2.0
// Records to tokens of which some are learned.
#pragma once

#include <optional>
#include <string>

#include "core/data/records/chat_format.h"
#include "core/data/records/marked_text.h"
#include "core/data/records/record.h"
#include "core/data/tokenizer.h"

namespace strata {

// Safe to use from several threads.
class RecordEncoder {
 public:
  // The tokenizer must outlive it. Chat records need `chat`.
  RecordEncoder(const Tokenizer& tokenizer, std::optional<ChatFormat> chat);

  // text: begin-of-document, the text, end-of-document, as tokenize_files has it; all learned.
  // completion: the same around prompt and completion; the completion and the end are learned.
  // chat: what the template writes (it brings its own first and last tokens); the assistant's turns are
  // learned. A tokenizer for which the template's end of turn is no token could not learn to stop: then the
  // record's end is the end-of-document, learned too if the assistant speaks last. Error(data) naming `where`
  // ("file:line") when the template refuses the conversation.
  MarkedTokens encode(const DataRecord& record, const std::string& where) const;

 private:
  void encode_chat(const DataRecord& record, const std::string& where, MarkedTokens& out) const;

  const Tokenizer& tokenizer_;
  std::optional<ChatFormat> chat_;
  bool ends_turns_ = false;  // the template's end of turn is one token
};

}  // namespace strata
