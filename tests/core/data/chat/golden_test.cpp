// SPDX-License-Identifier: Apache-2.0
// Templates and expressions give the text, and the assistant's spans, that transformers' Jinja gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "core/data/chat/chat_template.h"

namespace strata {
namespace {

using nlohmann::ordered_json;

const ordered_json& golden() {
  static const auto file = [] {
    std::ifstream stream(std::string(STRATA_SOURCE_DIR) + "/tests/golden/chats.json");
    return ordered_json::parse(stream);
  }();
  return file;
}

ChatOptions options_of(const ordered_json& c) {
  return {.add_generation_prompt = c["variables"]["add_generation_prompt"].get<bool>(),
          .bos_token = c["variables"]["bos_token"],
          .eos_token = c["variables"]["eos_token"],
          .variables = c["variables"]};
}

TEST(ChatTemplates, RenderAsTransformersDoes) {
  int rendered = 0, refused = 0;
  for (const auto& [name, entry] : golden()["templates"].items()) {
    const ChatTemplate chat(entry["source"].get<std::string>(), name);
    for (const auto& c : entry["cases"]) {
      if (c["text"].is_null()) {
        EXPECT_THROW(chat.render(c["messages"], options_of(c)), Error) << name << " " << c["messages"];
        ++refused;
        continue;
      }
      try {
        EXPECT_EQ(chat.render(c["messages"], options_of(c)), c["text"].get<std::string>()) << name;
        if (c.contains("spans") && !c["spans"].empty()) {
          std::vector<chat::Span> spans;
          for (const auto& span : c["spans"]) spans.push_back({span[0], span[1]});
          EXPECT_EQ(chat.render_with_spans(c["messages"], options_of(c)).assistant, spans) << name;
        }
        ++rendered;
      } catch (const Error& error) {
        ADD_FAILURE() << name << ": " << error.what();
      }
    }
  }
  EXPECT_GT(rendered, 150);
  EXPECT_GT(refused, 20);
}

TEST(ChatTemplates, EveryExpressionGivesWhatJinjaGives) {
  ASSERT_GT(golden()["expressions"].size(), 120U);
  for (const auto& c : golden()["expressions"]) {
    try {
      const ChatTemplate chat(c["source"].get<std::string>(), "expression");
      EXPECT_EQ(chat.render(ordered_json::array(), {}), c["text"].get<std::string>()) << c["source"];
    } catch (const Error& error) {
      ADD_FAILURE() << c["source"] << ": " << error.what();
    }
  }
}

}  // namespace
}  // namespace strata
