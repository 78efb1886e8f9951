// SPDX-License-Identifier: Apache-2.0
// The chat template of a run's records and the tokens it names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/data/chat/chat_template.h"

namespace strata {

struct ChatFormat {
  ChatTemplate chat;
  std::string bos_token, eos_token;  // spelled; empty where nothing says them
  uint64_t fingerprint = 0;          // of all of the above
};

// `given`: a built-in format, the path of a template or of a model's folder, or empty for the template of the
// tokenizer's folder. The spelled tokens come from the tokenizer's tokenizer_config.json, else from the
// convention of the built-in format. `tokenizer`: as for make_tokenizer. Error(usage) when there is no
// template, naming data.chat_template.
ChatFormat open_chat_format(const std::string& given, const std::string& tokenizer);

bool is_built_in_chat_template(std::string_view name);

}  // namespace strata
