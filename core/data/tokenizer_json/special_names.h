// SPDX-License-Identifier: Apache-2.0
// Which tokens begin and end a text: by the names in tokenizer_config.json, else by the post-processor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/data/tokenizer_json/post_processor.h"

namespace strata {

struct SpecialIds {
  std::optional<int32_t> begin, end;
};

// `tokenizer_json`: the file, beside which the configuration lies. `tokens`, `special`: by id. Error(data)
// when the configuration names a token that there is none of.
SpecialIds find_special_ids(const std::filesystem::path& tokenizer_json,
                            const std::vector<std::string>& tokens, const std::vector<bool>& special,
                            const SurroundingTokens& surroundings);

}  // namespace strata
