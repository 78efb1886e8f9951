// SPDX-License-Identifier: Apache-2.0
#include "core/data/records/chat_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/suggest.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

// What the models of a format call the tokens that begin a text and end a turn.
struct Convention {
  std::string_view name, bos, eos;
};
constexpr Convention kConventions[] = {
    {"chatml", "", "<|im_end|>"},
    {"llama3", "<|begin_of_text|>", "<|eot_id|>"},
    {"mistral", "<s>", "</s>"},
    {"deepseek", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"},
};

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

fs::path folder_of(const std::string& tokenizer) {
  return fs::is_directory(tokenizer) ? fs::path(tokenizer) : fs::path(tokenizer).parent_path();
}

ChatTemplate open_template(const std::string& given, const std::string& tokenizer) {
  if (is_built_in_chat_template(given)) return ChatTemplate::built_in(given);
  if (!given.empty() && fs::is_directory(given)) return ChatTemplate::of_model(given);
  if (!given.empty() && fs::is_regular_file(given)) return ChatTemplate(slurp(given), given);
  const bool has_folder = fs::exists(tokenizer);
  if (given.empty() && has_folder) return ChatTemplate::of_model(folder_of(tokenizer));
  std::vector<std::string> names;
  for (const Convention& row : kConventions) names.emplace_back(row.name);
  const std::string near = nearest(given, names);
  throw Error(Fault::usage,
              {.what = given.empty() ? "the records are conversations and there is no chat template"
                                     : "there is no such chat template",
               .where = "data.chat_template",
               .found = given.empty() ? fmt::format("the tokenizer \"{}\", which has no folder", tokenizer)
                                      : fmt::format("\"{}\"", given),
               .expected = "chatml, llama3, mistral, deepseek, the path of a template or of a model's folder",
               .fix = fmt::format("data.chat_template = \"{}\"", near.empty() ? "chatml" : near)});
}

// "eos_token": "</s>" or {"content": "</s>", ...}. That the file is JSON was seen when the tokenizer was
// made.
std::string spelled(const nlohmann::json& config, const char* key, std::string_view otherwise) {
  if (!config.is_object() || !config.contains(key)) return std::string(otherwise);
  const auto& field = config[key].is_object() ? config[key].value("content", nlohmann::json()) : config[key];
  return field.is_string() ? field.get<std::string>() : std::string(otherwise);
}

}  // namespace

bool is_built_in_chat_template(std::string_view name) {
  const auto rows = built_in_chat_templates();
  return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.name == name; });
}

ChatFormat open_chat_format(const std::string& given, const std::string& tokenizer) {
  ChatFormat format{.chat = open_template(given, tokenizer), .bos_token = {}, .eos_token = {}};
  const auto rule = std::find_if(std::begin(kConventions), std::end(kConventions),
                                 [&](const Convention& row) { return row.name == given; });
  const Convention convention = rule == std::end(kConventions) ? Convention{} : *rule;
  const fs::path path = folder_of(tokenizer) / "tokenizer_config.json";
  const auto config = fs::exists(tokenizer) && fs::exists(path)
                          ? nlohmann::json::parse(slurp(path), nullptr, false)
                          : nlohmann::json();
  format.bos_token = spelled(config, "bos_token", convention.bos);
  format.eos_token = spelled(config, "eos_token", convention.eos);
  format.fingerprint = hash_combine(hash_combine(format.chat.fingerprint(), hash_name(format.bos_token)),
                                    hash_name(format.eos_token));
  return format;
}

}  // namespace strata
