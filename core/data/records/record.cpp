// SPDX-License-Identifier: Apache-2.0
#include "core/data/records/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kForms =
    R"({"text": ...}, {"prompt": ..., "completion": ...}, {"messages": [{"role": ..., "content": ...}, ...]} or {"prompt": ..., "chosen": ..., "rejected": ...})";

[[noreturn]] void fail(const std::string& where, std::string what, std::string found, std::string expected,
                       std::string fix) {
  throw Error(Fault::data, {.what = std::move(what),
                            .where = where,
                            .found = std::move(found),
                            .expected = std::move(expected),
                            .fix = std::move(fix)});
}

std::string shortened(std::string text) {
  constexpr size_t kMost = 100;
  if (text.size() <= kMost) return text;
  size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

std::string shown(const ordered_json& value) { return shortened(value.dump()); }

std::string field_names(const ordered_json& object) {
  std::string names;
  for (const auto& [key, value] : object.items())
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", key);
  return names.empty() ? "an empty object" : shortened("fields " + names);
}

// Records of other trainers that mean the same under other names.
std::string fix_for(const ordered_json& record) {
  if (record.contains("instruction"))
    return R"(write "instruction" and "input" as "prompt", "output" as "completion")";
  if (record.contains("conversations"))
    return R"(write "conversations" as "messages", "from" as "role" (user, assistant), "value" as "content")";
  for (const char* other : {"response", "answer", "output", "target"})
    if (record.contains("prompt") && record.contains(other))
      return fmt::format("write \"{}\" as \"completion\"", other);
  if (record.contains("completion")) return R"(add a "prompt"; it may be "")";
  if (record.contains("prompt")) return R"(add a "completion")";
  return "rename the fields, or leave the record out";
}

ordered_json parse(std::string_view line, const std::string& where) {
  if (line.size() > kMostRecordBytes)
    fail(where, "a record is too long", fmt::format("{} bytes", line.size()),
         fmt::format("at most {}", kMostRecordBytes),
         "end every record with a line end, or cut it into several");
  const auto depth_limit = [&](int depth, ordered_json::parse_event_t, ordered_json&) {
    if (depth > kMostRecordDepth)
      fail(where, "a record is nested too deeply", fmt::format("more than {} levels", kMostRecordDepth),
           fmt::format("at most {} levels", kMostRecordDepth), "leave the record out");
    return true;
  };
  try {
    return ordered_json::parse(line, depth_limit);
  } catch (const ordered_json::parse_error& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 9: what"
    std::string_view reason = error.what();
    if (const size_t at = reason.find(": "); at != reason.npos) reason.remove_prefix(at + 2);
    const bool array =
        line.find_first_not_of(" \t") != line.npos && line[line.find_first_not_of(" \t")] == '[';
    fail(where, "a record is not JSON",
         fmt::format("at byte {}: {}", error.byte, shortened(std::string(reason))),
         "one JSON object a line, in UTF-8",
         array ? "a .json file that is one list becomes records by: jq -c '.[]' FILE.json > FILE.jsonl"
               : "mend the line, or take it out");
  }
}

std::string take_text(ordered_json& record, const char* field, const std::string& where) {
  ordered_json& value = record[field];
  if (!value.is_string())
    fail(where, fmt::format("a record's \"{}\" is not a text", field),
         fmt::format("{} {}", value.type_name(), shown(value)), "a string",
         std::string(field) == "text" ? "write it as a string, or leave the record out"
                                      : "write it as a string; for conversations use \"messages\"");
  return std::move(value.get_ref<std::string&>());
}

void require_message(const ordered_json& message, size_t index, const std::string& where) {
  static constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                             "tool"};
  const std::string which = fmt::format("message {}", index + 1);
  if (!message.is_object())
    fail(where, "a message is not an object", fmt::format("{}: {}", which, shown(message)),
         R"({"role": ..., "content": ...})", "write the message so, or leave the record out");
  if (!message.contains("role") || !message["role"].is_string())
    fail(where, "a message has no role",
         fmt::format("{}: {}", which,
                     message.contains("role") ? shown(message["role"]) : field_names(message)),
         R"("role": "system", "user" or "assistant")",
         message.contains("from") ? R"(write "from" as "role" and "value" as "content")" : "add a \"role\"");
  const auto& role = message["role"].get_ref<const std::string&>();
  if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end())
    fail(where, "a message has a role that is not known", fmt::format("{}: \"{}\"", which, shortened(role)),
         "system, developer, user, assistant or tool",
         role == "human" ? R"(write "human" as "user")"
         : role == "gpt" || role == "bot" || role == "model"
             ? fmt::format(R"(write "{}" as "assistant")", role)
             : "rename the role");
  const bool calls = message.contains("tool_calls") && !message["tool_calls"].is_null();
  const bool silent = !message.contains("content") || message["content"].is_null();
  if (silent ? !calls : !message["content"].is_string())
    fail(where, "a message has no text",
         fmt::format(
             "{}: {}", which,
             message.contains("content") ? "content " + shown(message["content"]) : field_names(message)),
         R"("content": a string)",
         "write the content as one string; images and other parts cannot be learned");
}

ordered_json take_messages(ordered_json& record, const char* field, const std::string& where) {
  ordered_json messages = std::move(record[field]);
  if (!messages.is_array() || messages.empty())
    fail(where, fmt::format("a record's \"{}\" is not a list of messages", field), shown(messages),
         std::string(kForms), "write the conversation as a list, or leave the record out");
  for (size_t i = 0; i < messages.size(); ++i) require_message(messages[i], i, where);
  return messages;
}

// Texts behind a prompt, or conversations, whole or behind what they have in common.
void read_preference(ordered_json& json, DataRecord& record, const std::string& where) {
  record.format = RecordFormat::preference;
  if (json["chosen"].is_array() || json["rejected"].is_array()) {
    ordered_json prompt = ordered_json::array();
    if (json.contains("prompt")) prompt = take_messages(json, "prompt", where);
    record.messages = record.rejected_messages = prompt;
    for (ordered_json& message : take_messages(json, "chosen", where))
      record.messages.push_back(std::move(message));
    for (ordered_json& message : take_messages(json, "rejected", where))
      record.rejected_messages.push_back(std::move(message));
    record.variables = ordered_json::object();
    if (json.contains("tools")) record.variables["tools"] = std::move(json["tools"]);
  } else {
    if (!json.contains("prompt"))
      fail(where, "a preference has no prompt", field_names(json), std::string(kForms),
           R"(add a "prompt"; it may be "")");
    record.prompt = take_text(json, "prompt", where);
    record.text = take_text(json, "chosen", where);
    record.rejected = take_text(json, "rejected", where);
  }
  const bool same =
      record.messages.empty() ? record.text == record.rejected : record.messages == record.rejected_messages;
  if (same)
    fail(where, "the two responses of a preference are the same",
         shown(record.messages.empty() ? ordered_json(record.text) : record.messages),
         "one that was chosen and another", "leave the record out: nothing can be learned from it");
}

}  // namespace

std::string_view name(RecordFormat format) {
  switch (format) {
    case RecordFormat::text:
      return "text";
    case RecordFormat::completion:
      return "completion";
    case RecordFormat::chat:
      return "chat";
    case RecordFormat::preference:
      return "preference";
  }
  return "";
}

DataRecord parse_data_record(std::string_view line, const std::string& where) {
  ordered_json json = parse(line, where);
  if (!json.is_object())
    fail(where, "a record is not an object", fmt::format("{} {}", json.type_name(), shown(json)),
         std::string(kForms),
         json.is_array()
             ? "a .json file that is one list becomes records by: jq -c '.[]' FILE.json > FILE.jsonl"
             : "write the record so, or take it out");
  const bool text = json.contains("text"), chat = json.contains("messages"),
             completion = json.contains("prompt") && json.contains("completion"),
             preference = json.contains("chosen") && json.contains("rejected");
  if (text + chat + completion + preference == 0)
    fail(where, "a record has the fields of no format", field_names(json), std::string(kForms),
         fix_for(json));
  if (text + chat + completion + preference > 1)
    fail(where, "a record has the fields of two formats", field_names(json),
         "those of one: " + std::string(kForms), "take the fields out that are not to be learned");
  DataRecord record;
  if (preference) {
    read_preference(json, record, where);
  } else if (text) {
    record.format = RecordFormat::text;
    record.text = take_text(json, "text", where);
  } else if (completion) {
    record.format = RecordFormat::completion;
    record.prompt = take_text(json, "prompt", where);
    record.text = take_text(json, "completion", where);
  } else {
    record.format = RecordFormat::chat;
    record.messages = take_messages(json, "messages", where);
    record.variables = ordered_json::object();
    if (json.contains("tools")) record.variables["tools"] = std::move(json["tools"]);
  }
  return record;
}

std::pair<DataRecord, DataRecord> responses_of(const DataRecord& preference) {
  DataRecord chosen = preference;
  chosen.format = preference.messages.empty() ? RecordFormat::completion : RecordFormat::chat;
  DataRecord rejected = chosen;
  rejected.text = preference.rejected;
  rejected.messages = preference.rejected_messages;
  return {std::move(chosen), std::move(rejected)};
}

}  // namespace strata
