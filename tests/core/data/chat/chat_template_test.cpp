// SPDX-License-Identifier: Apache-2.0
// What is refused, with the line; which part is the assistant's when the template does not say; where
// templates lie.
#include "core/data/chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

std::string refusal(const std::string& source, const ordered_json& messages = ordered_json::array()) {
  const Error error = error_of([&] { ChatTemplate(source, "chat.jinja").render(messages, {}); });
  EXPECT_EQ(error.fault(), Fault::data) << source;
  return error.what();
}

TEST(ChatTemplate, RefusesWhatItDoesNotKnowByNameAndLine) {
  const struct {
    const char *source, *names;
    int line;
  } rows[] = {
      {"a\n{% include 'x' %}", "include", 2},
      {"{% if true %}x", "endif", 1},
      {"\n\n{{ 'a' | wordwrap }}", "\"wordwrap\"", 3},
      {"{% set x = 1 %}\n{{ x is prime }}", "\"prime\"", 2},
      {"{{ 'a'.zfill(3) }}", "zfill", 1},
      {"{{ [1].append(2) }}", "append", 1},
      {"{{ a.b.c }}", "\"b\"", 1},
      {"{{ nothing() }}", "nothing", 1},
      {"{% for x in 5 %}{% endfor %}", "a number", 1},
      {"{% set a.b = 1 %}", "namespace", 1},
      {"{{ 1 + 'a' }}", "a number + text", 1},
      {"{{ 1 / 0 }}", "zero", 1},
      {"{{ 'a }}", "quotes", 1},
      {"x\n{# y", "comment", 2},
      {"{{ 1 < 2 < 3 }}", "chain", 1},
      {"{{ {}|tojson(sort_keys=true) }}", "sort_keys", 1},
      {"{% macro m(a) %}{% endmacro %}\n{{ m(b=1) }}", "\"b\"", 2},
      {"{{ }}", "}}", 1},
      {"{{ 'a' $ }}", "$", 1},
  };
  for (const auto& row : rows) {
    const std::string message = refusal(row.source);
    EXPECT_THAT(message, HasSubstr(row.names)) << row.source;
    EXPECT_THAT(message, HasSubstr("chat.jinja:" + std::to_string(row.line) + "\n")) << row.source;
  }
}

TEST(ChatTemplate, RefusesEndlessNestingAndBrokenEndsWithoutFallingOver) {
  for (const std::string part : {"(", "[", "{{ ", "{% if x %}", "not ", "-", "{% for a in b %}",
                                 "{'a':", "a[", "a(", "{#", "\"", "{%-", "a.", "a + ", "a|trim|", "a or "}) {
    std::string source = "{{ ";
    for (int i = 0; i < 5'000; ++i) source += part;
    EXPECT_THROW(ChatTemplate(source, "deep"), Error) << part;
  }
  // Every beginning of a real template: refused or read, never worse.
  const std::string source(built_in_chat_templates()[2].source);
  for (size_t bytes = 0; bytes < source.size(); ++bytes) {
    try {
      ChatTemplate(source.substr(0, bytes), "cut").render(ordered_json::array(), {});
    } catch (const Error&) {
    }
  }
}

TEST(ChatTemplate, SaysWhatTheTemplateItselfRefuses) {
  EXPECT_THAT(
      refusal("{% for m in messages %}\n{{ raise_exception('no ' + m.role) }}{% endfor %}",
              {{{"role", "tool"}}}),
      testing::AllOf(HasSubstr("refuses the conversation"), HasSubstr("no tool"), HasSubstr("chat.jinja:2")));
}

const ordered_json kTalk =
    ordered_json::parse(R"([{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "Four é."},
    {"role": "user", "content": "sure?"}, {"role": "assistant", "content": "Yes."}])");

std::vector<std::string> said(const RenderedChat& chat) {
  std::vector<std::string> parts;
  for (const auto& span : chat.assistant)
    parts.push_back(chat.text.substr(span.begin, span.end - span.begin));
  return parts;
}

TEST(ChatTemplate, FindsTheAssistantsPartWithoutGenerationBlocks) {
  const ChatTemplate chat(
      "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '</s>\\n' }}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}",
      "plain");
  const RenderedChat rendered = chat.render_with_spans(kTalk, {.eos_token = "</s>"});
  EXPECT_THAT(said(rendered), testing::ElementsAre("Four é.</s>", "Yes.</s>"));
  EXPECT_EQ(rendered.text, chat.render(kTalk, {}));
}

TEST(ChatTemplate, BuiltInFormatsMarkTheAssistantsPart) {
  const std::pair<const char*, const char*> ends[] = {
      {"chatml", "<|im_end|>"}, {"llama3", "<|eot_id|>"}, {"mistral", "</s>"}, {"deepseek", "</s>"}};
  ASSERT_EQ(std::size(ends), built_in_chat_templates().size());
  for (const auto& [name, end] : ends)
    EXPECT_THAT(said(ChatTemplate::built_in(name).render_with_spans(kTalk, {.eos_token = "</s>"})),
                testing::ElementsAre(std::string("Four é.") + end, std::string("Yes.") + end))
        << name;
  EXPECT_THAT(error_of([] { ChatTemplate::built_in("alpaca"); }).what(), HasSubstr("\"chatml\""));
}

TEST(ChatTemplate, RefusesToGuessTheAssistantsPart) {
  // Earlier answers are written in short, as templates of thinking models do.
  const ChatTemplate chat(
      "{% for m in messages %}{{ m.content if loop.last else m.content[:2] }}{% endfor %}", "short");
  EXPECT_THAT(error_of([&] { chat.render_with_spans(kTalk, {}); }).what(), HasSubstr("{% generation %}"));
}

TEST(ChatTemplate, IsReadFromAModelsFolder) {
  const ScratchFolder scratch;
  EXPECT_THAT(error_of([&] { ChatTemplate::of_model(scratch / "."); }).what(), HasSubstr("no chat template"));
  spit(scratch / "tokenizer_config.json",
       R"({"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
  EXPECT_EQ(ChatTemplate::of_model(scratch / ".").render(kTalk, {}), "D");
  spit(scratch / "tokenizer_config.json", R"({"chat_template": "C"})");
  EXPECT_EQ(ChatTemplate::of_model(scratch / ".").render(kTalk, {}), "C");
  spit(scratch / "chat_template.jinja", "J\n");
  EXPECT_EQ(ChatTemplate::of_model(scratch / ".").render(kTalk, {}), "J");
}

}  // namespace
}  // namespace strata
