// SPDX-License-Identifier: Apache-2.0
// Conversations to the text a model was taught on: a model's own template (the part of Jinja that chat
// templates use, set up as transformers does) or one of the formats built in. What a template uses and is not
// known here is refused with its line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/chat/evaluator.h"
#include "core/data/chat/syntax.h"

namespace strata {

struct ChatOptions {
  bool add_generation_prompt = false;  // end with what the assistant's answer begins after
  std::string bos_token, eos_token;    // as the model's tokenizer spells them
  nlohmann::ordered_json variables;    // more for the template, as an object: tools, enable_thinking, ...
};

struct RenderedChat {
  std::string text;
  std::vector<chat::Span>
      assistant;  // bytes of `text` that the assistant says, its end-of-turn token included
};

class ChatTemplate {
 public:
  // `name` stands in errors, with the line. Error(data) for what is not Jinja, or not known here.
  ChatTemplate(std::string_view source, std::string name);
  // "chatml", "llama3", "mistral", "deepseek"; Error(usage) listing them.
  static ChatTemplate built_in(std::string_view name);
  // Of a model's folder: chat_template.jinja, else "chat_template" of tokenizer_config.json.
  static ChatTemplate of_model(const std::filesystem::path& folder);

  // `messages`: a list of {"role": ..., "content": ...}. Error(data) when the template refuses them.
  std::string render(const nlohmann::ordered_json& messages, const ChatOptions& options) const;
  // Also says what the assistant says: by the template's {% generation %} blocks, else by rendering the
  // conversation up to each answer and with it. Error(data) when the template writes earlier messages
  // differently once later ones follow, for then there is no telling.
  RenderedChat render_with_spans(const nlohmann::ordered_json& messages, const ChatOptions& options) const;

  const std::string& source() const { return source_; }
  uint64_t fingerprint() const;  // of the source

 private:
  chat::Output run(const nlohmann::ordered_json& messages, const ChatOptions& options) const;

  std::string name_;
  std::string source_;
  chat::Body body_;
};

struct BuiltInChatTemplate {
  std::string_view name, source;
};
std::span<const BuiltInChatTemplate> built_in_chat_templates();

}  // namespace strata
