// SPDX-License-Identifier: Apache-2.0
// One record of a jsonl file: a line that is a JSON object. What it says, before tokens.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace strata {

enum class RecordFormat {
  text,        // {"text": ...}: all of it is learned
  completion,  // {"prompt": ..., "completion": ...}: the completion is learned
  chat,        // {"messages": [{"role": ..., "content": ...}, ...]}: what the assistant says is learned
  preference,  // {"prompt": ..., "chosen": ..., "rejected": ...}, texts or lists of messages: a pair of the
               // above
};

std::string_view name(RecordFormat format);

struct DataRecord {
  RecordFormat format = RecordFormat::text;
  std::string text;                 // or the completion
  std::string prompt;               // of a completion
  nlohmann::ordered_json messages;  // of a chat: objects, each with a role that is known and a text
  // Of a preference: the response that is not the better one; `text` or `messages` is the other.
  std::string rejected;
  nlohmann::ordered_json rejected_messages;
  nlohmann::ordered_json variables;  // of a chat: what else the template is given ("tools")
};

// What a preference compares, as records of their own: the chosen response, the rejected one.
std::pair<DataRecord, DataRecord> responses_of(const DataRecord& preference);

inline constexpr size_t kMostRecordBytes = 64 << 20;
inline constexpr int kMostRecordDepth = 64;  // of nested lists and objects

// `where` is the record's "file:line". Error(data) naming it, what was found and the fix: not UTF-8 or not
// JSON (with the byte), too long, too deep, no object, fields of no format or of two, a field of the wrong
// type, a message without role or content, an unknown role.
DataRecord parse_data_record(std::string_view line, const std::string& where);

}  // namespace strata
