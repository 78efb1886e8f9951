// SPDX-License-Identifier: Apache-2.0
#include "core/data/records/record_encoder.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

RecordEncoder::RecordEncoder(const Tokenizer& tokenizer, std::optional<ChatFormat> chat)
    : tokenizer_(tokenizer), chat_(std::move(chat)) {
  if (!chat_ || chat_->eos_token.empty()) return;
  std::vector<int32_t> ids;
  tokenizer_.encode(chat_->eos_token, ids);
  ends_turns_ = ids.size() == 1;
}

MarkedTokens RecordEncoder::encode(const DataRecord& record, const std::string& where) const {
  MarkedTokens out;
  if (record.format == RecordFormat::chat) {
    encode_chat(record, where, out);
    return out;
  }
  const bool whole = record.format == RecordFormat::text;
  if (whole && record.text.empty()) return out;
  const std::string text = record.prompt + record.text;
  const chat::Span learned{record.prompt.size(), text.size()};
  if (const auto begin = tokenizer_.begin_of_document()) out.add(*begin, whole);
  encode_marked(tokenizer_, text, {&learned, 1}, out);
  if (const auto end = tokenizer_.end_of_document()) out.add(*end, true);
  return out;
}

void RecordEncoder::encode_chat(const DataRecord& record, const std::string& where, MarkedTokens& out) const {
  check(chat_.has_value(), "[record_encoder] a chat record without a chat template");
  try {
    const RenderedChat rendered =
        chat_->chat.render_with_spans(record.messages, {.add_generation_prompt = false,
                                                        .bos_token = chat_->bos_token,
                                                        .eos_token = chat_->eos_token,
                                                        .variables = record.variables});
    encode_marked(tokenizer_, rendered.text, rendered.assistant, out);
    // A conversation that the user ends does not end by the assistant's choice.
    const bool answered =
        !rendered.assistant.empty() &&
        rendered.text.find_first_not_of(" \r\n", rendered.assistant.back().end) == std::string::npos;
    if (const auto end = tokenizer_.end_of_document(); end && !ends_turns_) out.add(*end, answered);
  } catch (const Error& error) {
    Report report = error.report();
    report.where = fmt::format("{}, by the chat template {}", where, report.where);
    throw Error(error.fault(), std::move(report));
  }
}

}  // namespace strata
