// SPDX-License-Identifier: Apache-2.0
// The files that tests/golden/make_tokenizers.py wrote, and the comparison of ids with them.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/tokenizer_json/json_tokenizer.h"

namespace strata {

inline std::filesystem::path golden_tokenizer(const std::string& name) {
  return std::filesystem::path(STRATA_SOURCE_DIR) / "tests/golden/tokenizers" / (name + ".json");
}

inline nlohmann::json golden_json(const std::string& name) {
  std::ifstream file(golden_tokenizer(name));
  return nlohmann::json::parse(file);
}

inline std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

// fnv() of the script.
inline std::string hash_of_ids(const std::vector<int32_t>& ids) {
  uint64_t h = 0xCBF29CE484222325ull;
  for (const int32_t id : ids)
    for (int shift = 0; shift < 32; shift += 8)
      h = (h ^ (static_cast<uint32_t>(id) >> shift & 0xFF)) * 0x100000001B3ull;
  return fmt::format("{:016x}", h);
}

}  // namespace strata
