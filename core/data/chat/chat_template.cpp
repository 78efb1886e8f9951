// SPDX-License-Identifier: Apache-2.0
#include "core/data/chat/chat_template.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/chat/lexer.h"

namespace strata {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

[[noreturn]] void fail(const std::string& name, const chat::TemplateError& error) {
  throw Error(Fault::data, {.what = error.raised ? "the chat template refuses the conversation"
                                                 : "a chat template cannot be used",
                            .where = fmt::format("{}:{}", name, error.line),
                            .found = error.what,
                            .expected = error.raised ? "messages as the template wants them"
                                                     : "the part of Jinja that chat templates use",
                            .fix = error.raised ? "change the conversation"
                                                : "write the template without it, or use a built-in format"});
}

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

[[noreturn]] void no_template(const fs::path& path, std::string found) {
  throw Error(Fault::data, {.what = "the model has no chat template",
                            .where = path.string(),
                            .found = std::move(found),
                            .expected = "chat_template.jinja, or \"chat_template\" in tokenizer_config.json",
                            .fix = "name a built-in format: chatml, llama3, mistral or deepseek"});
}

// Text, or a list of {"name", "template"} of which the one named "default" is meant.
std::string template_of(const ordered_json& field, const fs::path& path) {
  if (field.is_string()) return field.get<std::string>();
  if (field.is_array())
    for (const auto& entry : field)
      if (entry.value("name", "") == "default" && entry.contains("template") && entry["template"].is_string())
        return entry["template"].get<std::string>();
  no_template(path, field.is_array() ? "a list without \"default\"" : field.type_name());
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string name)
    : name_(std::move(name)), source_(source) {
  try {
    body_ = chat::parse_template(source);
  } catch (const chat::TemplateError& error) {
    fail(name_, error);
  }
}

uint64_t ChatTemplate::fingerprint() const { return hash_name(source_); }

ChatTemplate ChatTemplate::built_in(std::string_view name) {
  std::string names;
  for (const auto& row : built_in_chat_templates()) {
    if (row.name == name) return ChatTemplate(row.source, std::string(name));
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", row.name);
  }
  throw Error(Fault::usage, {.what = "there is no chat format of that name",
                             .found = fmt::format("\"{}\"", name),
                             .expected = names});
}

ChatTemplate ChatTemplate::of_model(const fs::path& folder) {
  const fs::path own = folder / "chat_template.jinja", config = folder / "tokenizer_config.json";
  if (fs::exists(own)) return ChatTemplate(slurp(own), own.string());
  if (!fs::exists(config)) no_template(folder, "neither file");
  try {
    const auto json = ordered_json::parse(slurp(config));
    if (!json.contains("chat_template") || json["chat_template"].is_null())
      no_template(config, "no such field");
    return ChatTemplate(template_of(json["chat_template"], config), config.string() + " chat_template");
  } catch (const ordered_json::exception& error) {
    no_template(config, error.what());
  }
}

chat::Output ChatTemplate::run(const ordered_json& messages, const ChatOptions& options) const {
  chat::Dict variables{{"messages", chat::Value(messages)},
                       {"add_generation_prompt", options.add_generation_prompt},
                       {"bos_token", options.bos_token},
                       {"eos_token", options.eos_token},
                       {"tools", nullptr},
                       {"documents", nullptr}};
  for (const auto& [name, value] : options.variables.items())
    chat::assign(variables, name, chat::Value(value));
  try {
    return chat::evaluate(body_, std::move(variables));
  } catch (const chat::TemplateError& error) {
    fail(name_, error);
  }
}

std::string ChatTemplate::render(const ordered_json& messages, const ChatOptions& options) const {
  return run(messages, options).text;
}

RenderedChat ChatTemplate::render_with_spans(const ordered_json& messages, const ChatOptions& options) const {
  chat::Output whole = run(messages, options);
  if (!whole.generation.empty()) return {std::move(whole.text), std::move(whole.generation)};
  RenderedChat rendered{std::move(whole.text), {}};
  ordered_json begun = ordered_json::array();
  for (const auto& message : messages) {
    if (!message.is_object() || message.value("role", "") != "assistant") {
      begun.push_back(message);
      continue;
    }
    ChatOptions before = options, after = options;
    before.add_generation_prompt = true, after.add_generation_prompt = false;
    const std::string prompt = run(begun, before).text;
    begun.push_back(message);
    std::string answered = run(begun, after).text;
    // Behind the token that ends the turn the template may write a line end, which the model does not say.
    if (const size_t end = options.eos_token.empty() ? answered.npos : answered.rfind(options.eos_token);
        end != answered.npos &&
        answered.find_first_not_of(" \r\n", end + options.eos_token.size()) == answered.npos)
      answered.resize(end + options.eos_token.size());
    if (!answered.starts_with(prompt) || !rendered.text.starts_with(answered))
      throw Error(
          Fault::data,
          {.what = "it cannot be told which part of a rendered conversation is the assistant's",
           .where = name_,
           .found =
               fmt::format("message {} is written otherwise when others follow it, or than it is asked for",
                           begun.size()),
           .expected =
               "a template that writes messages one after another, or one with {% generation %} blocks",
           .fix =
               "put {% generation %} and {% endgeneration %} around the assistant's part of the template"});
    rendered.assistant.push_back({prompt.size(), answered.size()});
  }
  return rendered;
}

}  // namespace strata
