// SPDX-License-Identifier: Apache-2.0
// Records that are good, and every way in which one can be bad: where, what was found and the fix.
#include "core/data/records/record.h"

#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST(Record, SaysWhatItHolds) {
  const auto text = parse_data_record(R"({"id": 7, "text": "a\nb"})", "f:1");
  EXPECT_EQ(text.format, RecordFormat::text);
  EXPECT_EQ(text.text, "a\nb");
  const auto completion = parse_data_record(R"({"prompt": "", "completion": "x"})", "f:1");
  EXPECT_EQ(completion.format, RecordFormat::completion);
  EXPECT_EQ(completion.prompt, "");
  EXPECT_EQ(completion.text, "x");
  const auto chat = parse_data_record(
      R"({"messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": null, "tool_calls": []}], "tools": [1]})",
      "f:1");
  EXPECT_EQ(chat.format, RecordFormat::chat);
  EXPECT_EQ(chat.messages.size(), 2u);
  EXPECT_EQ(chat.variables["tools"].dump(), "[1]");
}

struct Bad {
  std::string line, what, found, fix;
};

TEST(Record, EveryBadOneIsNamed) {
  const std::string deep = R"({"text": )" + std::string(100, '[') + std::string(100, ']') + "}";
  const Bad cases[] = {
      {"{\"text\": \"a\"", "not JSON", "at byte 13", "mend the line"},
      {"text", "not JSON", "at byte 2", "mend the line"},
      {"{\"text\": \"\xFF\"}", "not JSON", "at byte 11", "mend the line"},
      {R"({"text": "\ud800"})", "not JSON", "surrogate", "mend the line"},
      {"[", "not JSON", "at byte 2", "jq -c"},
      {R"({"text": "a"} {"text": "b"})", "not JSON", "at byte 15", "mend the line"},
      {deep, "nested too deeply", "more than 64 levels", "leave the record out"},
      {R"([{"text": "a"}])", "not an object", "array", "jq -c '.[]'"},
      {"3", "not an object", "number 3", "take it out"},
      {"{}", "fields of no format", "an empty object", "rename"},
      {R"({"Text": "a"})", "fields of no format", "\"Text\"", "rename"},
      {R"({"prompt": "a"})", "fields of no format", "\"prompt\"", "add a \"completion\""},
      {R"({"completion": "a"})", "fields of no format", "\"completion\"", "add a \"prompt\""},
      {R"({"prompt": "a", "response": "b"})", "fields of no format", "\"response\"",
       R"(write "response" as "completion")"},
      {R"({"instruction": "a", "output": "b"})", "fields of no format", "\"instruction\"",
       R"("instruction" and "input" as "prompt")"},
      {R"({"conversations": []})", "fields of no format", "\"conversations\"", R"("from" as "role")"},
      {R"({"text": "a", "messages": []})", "fields of two formats", "\"messages\"", "take the fields out"},
      {R"({"text": 3})", "\"text\" is not a text", "number 3", "as a string"},
      {R"({"text": null})", "\"text\" is not a text", "null", "as a string"},
      {R"({"prompt": [{"role": "user"}], "completion": "b"})", "\"prompt\" is not a text", "array",
       "use \"messages\""},
      {R"({"prompt": "a", "completion": {}})", "\"completion\" is not a text", "object", "as a string"},
      {R"({"messages": []})", "not a list of messages", "[]", "as a list"},
      {R"({"messages": "hi"})", "not a list of messages", "\"hi\"", "as a list"},
      {R"({"messages": ["hi"]})", "not an object", "message 1: \"hi\"", "leave the record out"},
      {R"({"messages": [{"content": "a"}]})", "has no role", "message 1: fields \"content\"",
       "add a \"role\""},
      {R"({"messages": [{"from": "human", "value": "a"}]})", "has no role", "\"from\"",
       R"("from" as "role")"},
      {R"({"messages": [{"role": 3, "content": "a"}]})", "has no role", "3", "add a \"role\""},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "gpt", "content": "b"}]})",
       "role that is not known", "message 2: \"gpt\"", R"("gpt" as "assistant")"},
      {R"({"messages": [{"role": "human", "content": "a"}]})", "role that is not known", "\"human\"",
       R"("human" as "user")"},
      {R"({"messages": [{"role": "Narrator", "content": "a"}]})", "role that is not known", "\"Narrator\"",
       "rename the role"},
      {R"({"messages": [{"role": "user"}]})", "has no text", "message 1: fields \"role\"", "one string"},
      {R"({"messages": [{"role": "assistant", "content": null}]})", "has no text", "content null",
       "one string"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image"}]}]})", "has no text", "\"image\"",
       "images"},
  };
  for (const Bad& bad : cases) {
    const Error error = error_of([&] { parse_data_record(bad.line, "chat.jsonl:12"); });
    EXPECT_EQ(error.fault(), Fault::data) << bad.line;
    EXPECT_EQ(error.report().where, "chat.jsonl:12") << bad.line;
    EXPECT_THAT(error.report().what, HasSubstr(bad.what)) << bad.line;
    EXPECT_THAT(error.report().found, HasSubstr(bad.found)) << bad.line;
    EXPECT_THAT(error.report().fix, HasSubstr(bad.fix)) << bad.line;
    EXPECT_NE(error.report().expected, "") << bad.line;
  }
}

TEST(Record, ALongOneIsRefusedBeforeItIsRead) {
  const std::string line(kMostRecordBytes + 1, '[');
  EXPECT_THAT(error_of([&] { parse_data_record(line, "f:1"); }).report().what, HasSubstr("too long"));
}

TEST(Record, WhatIsShownOfABadOneIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 80; ++i) text += "é";
  const Error error = error_of([&] { parse_data_record("[\"x" + text + "\"]", "f:1"); });
  EXPECT_THAT(error.report().found, testing::EndsWith("é..."));
}

}  // namespace
}  // namespace strata
