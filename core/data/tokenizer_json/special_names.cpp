// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/special_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace strata {
namespace {

// "bos_token": "<s>" or {"content": "<s>", ...}; null and nothing at all mean that there is none.
std::optional<int32_t> named(const nlohmann::json& config, const char* key, const std::filesystem::path& path,
                             const std::vector<std::string>& tokens) {
  if (!config.contains(key) || config[key].is_null()) return std::nullopt;
  const auto& field =
      config[key].is_object() && config[key].contains("content") ? config[key]["content"] : config[key];
  const std::string name = field.is_string() ? field.get<std::string>() : field.dump();
  const auto found = std::find(tokens.begin(), tokens.end(), name);
  if (!field.is_string() || name.empty() || found == tokens.end())
    throw Error(Fault::data, {.what = fmt::format("the {} is no token of the vocabulary", key),
                              .where = path.string(),
                              .found = field.dump(),
                              .expected = "the spelling of a token in tokenizer.json"});
  return static_cast<int32_t>(found - tokens.begin());
}

}  // namespace

SpecialIds find_special_ids(const std::filesystem::path& tokenizer_json,
                            const std::vector<std::string>& tokens, const std::vector<bool>& special,
                            const SurroundingTokens& surroundings) {
  const auto path = tokenizer_json.parent_path() / "tokenizer_config.json";
  std::ifstream stream(path);
  if (!stream) {
    const auto only = [&](const std::vector<int32_t>& ids) {
      const bool one = ids.size() == 1 && special[static_cast<size_t>(ids[0])];
      return one ? std::optional(ids[0]) : std::nullopt;
    };
    return {only(surroundings.before), only(surroundings.after)};
  }
  try {
    const auto config = nlohmann::json::parse(stream);
    return {named(config, "bos_token", path, tokens), named(config, "eos_token", path, tokens)};
  } catch (const nlohmann::json::exception& error) {
    throw Error(Fault::data, {.what = "a tokenizer_config.json is not JSON",
                              .where = path.string(),
                              .found = error.what(),
                              .expected = "the file that lies beside tokenizer.json"});
  }
}

}  // namespace strata
