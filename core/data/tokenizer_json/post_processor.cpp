// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/post_processor.h"

#include <fmt/format.h>

namespace strata {
namespace {

std::vector<int32_t> ids_of(JsonPart& special_tokens, const std::string& name) {
  JsonPart token = special_tokens.part(name.c_str());
  const auto& ids = token.any("ids");
  std::vector<int32_t> result;
  for (const auto& id : ids) {
    if (!id.is_number_integer()) token.refuse("\"ids\" are not ids", ids.dump(), "a list of numbers");
    result.push_back(id.get<int32_t>());
  }
  return result;
}

SurroundingTokens parse_template(JsonPart& part) {
  SurroundingTokens tokens;
  bool text_seen = false;
  JsonPart special_tokens = part.part("special_tokens");
  for (JsonPart& piece : part.parts("single")) {
    if (piece.value().contains("Sequence")) {
      if (text_seen) piece.refuse("a template holds the text twice", piece.value().dump(), "the text once");
      text_seen = true;
    } else {
      const auto ids = ids_of(special_tokens, piece.part("SpecialToken").text("id"));
      auto& side = text_seen ? tokens.after : tokens.before;
      side.insert(side.end(), ids.begin(), ids.end());
    }
  }
  part.ignore("pair");  // two texts: not a thing of language models
  part.done();
  return tokens;
}

}  // namespace

SurroundingTokens parse_post_processor(JsonPart part) {
  const std::string type = part.text("type");
  if (type == "ByteLevel") return {};  // offsets only
  if (type == "TemplateProcessing") return parse_template(part);
  if (type == "Sequence") {
    SurroundingTokens tokens;
    for (const JsonPart& step : part.parts("processors")) {
      auto [before, after] = parse_post_processor(step);
      tokens.before.insert(tokens.before.begin(), before.begin(), before.end());
      tokens.after.insert(tokens.after.end(), after.begin(), after.end());
    }
    part.done();
    return tokens;
  }
  part.refuse("a post-processor is not known", fmt::format("\"{}\"", type),
              "TemplateProcessing, ByteLevel, Sequence");
}

}  // namespace strata
