// SPDX-License-Identifier: Apache-2.0
// Keys and kinds of tokens: ggml, docs/gguf.md.
#include "checkpoint/adapters/gguf_tokenizer.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "checkpoint/adapters/gguf_pre_tokenizers.h"
#include "checkpoint/adapters/sentencepiece_pieces.h"
#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

constexpr int64_t kTokens = 1 << 21;
constexpr std::string_view kSentencePieceClass = "LlamaTokenizer";

[[noreturn]] void refuse(const GgufSource& source, std::string found, std::string expected) {
  throw Error(Fault::model, {.what = "the tokenizer in this file is damaged",
                             .where = source.path(),
                             .found = std::move(found),
                             .expected = std::move(expected),
                             .fix = "fetch or write the file again"});
}

std::string text_of(const GgufSource& source, const std::string& key) {
  const auto found = source.header().values.find("tokenizer." + key);
  return found != source.header().values.end() && found->is_string() ? found->get<std::string>() : "";
}

bool flag_of(const GgufSource& source, const std::string& key, bool otherwise) {
  const auto found = source.header().values.find("tokenizer." + key);
  return found != source.header().values.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

// What is put around every text.
json post_processor(const std::vector<std::string>& tokens, std::optional<int64_t> first,
                    std::optional<int64_t> last) {
  if (!first && !last) return byte_level_part(true);
  json single = json::array(), pair = json::array(), special = json::object();
  const auto add = [&](const std::optional<int64_t>& id, int type) {
    if (!id) return;
    const std::string& token = tokens[static_cast<size_t>(*id)];
    const json piece = {{"SpecialToken", {{"id", token}, {"type_id", type}}}};
    if (type == 0) single.push_back(piece);
    pair.push_back(piece);
    special[token] = {{"id", token}, {"ids", {*id}}, {"tokens", {token}}};
  };
  const auto add_text = [&](const char* name, int type) {
    const json piece = {{"Sequence", {{"id", name}, {"type_id", type}}}};
    if (type == 0) single.push_back(piece);
    pair.push_back(piece);
  };
  for (const int type : {0, 1}) {
    add(first, type);
    add_text(type == 0 ? "A" : "B", type);
    add(last, type);
  }
  json around = {
      {"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
  return {{"type", "Sequence"}, {"processors", json::array({byte_level_part(true), std::move(around)})}};
}

// Tokens that are found in a text before anything else: control tokens and those of users.
json added_tokens(const std::vector<std::string>& tokens, const std::vector<double>& types) {
  json added = json::array();
  for (size_t id = 0; id < types.size(); ++id) {
    const bool special = types[id] == 3;
    if (!special && types[id] != 4) continue;
    added.push_back({{"id", id},
                     {"content", tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  }
  return added;
}

json vocabulary(const GgufSource& source, const std::vector<std::string>& tokens) {
  json vocab = json::object();
  for (size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].empty() || !vocab.emplace(tokens[id], id).second)
      refuse(source, fmt::format("token {} is empty, or another's text again", id), "each once");
  return vocab;
}

json merges(const GgufSource& source) {
  std::vector<std::string> texts = source.texts("tokenizer.ggml.merges", 2 * kTokens);
  json list = json::array();
  for (std::string& merge : texts) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string::npos)
      refuse(source, fmt::format("merge {}", list.size()), "two pieces with a space between");
    list.push_back(std::move(merge));
  }
  if (list.empty()) refuse(source, "no tokenizer.ggml.merges", "those of its vocabulary");
  return list;
}

Asset tokenizer_config(const GgufSource& source, const std::vector<std::string>& tokens,
                       std::string_view tokenizer_class) {
  nlohmann::ordered_json config = {{"tokenizer_class", tokenizer_class},
                                   {"clean_up_tokenization_spaces", false}};
  for (const auto& [which, key] : {std::pair("bos", "bos_token"), std::pair("eos", "eos_token"),
                                   std::pair("padding", "pad_token"), std::pair("unknown", "unk_token")})
    if (const auto id = gguf_token_id(source, which)) config[key] = tokens[static_cast<size_t>(*id)];
  if (const std::string chat = text_of(source, "chat_template"); !chat.empty())
    config["chat_template"] = chat;
  if (tokenizer_class == kSentencePieceClass) {
    config["add_bos_token"] = flag_of(source, "ggml.add_bos_token", true);
    config["add_eos_token"] = flag_of(source, "ggml.add_eos_token", false);
    config["legacy"] = false;
  }
  return {"tokenizer_config.json", config.dump(2) + "\n"};
}

// tokenizer.ggml.model = llama: pieces with scores.
GgufTokenizer sentencepiece_of(const GgufSource& source) {
  SentencePiecePieces pieces{.texts = source.texts("tokenizer.ggml.tokens", kTokens)};
  const size_t count = pieces.texts.size();
  const std::vector<double> scores = source.numbers("tokenizer.ggml.scores", kTokens),
                            types = source.numbers("tokenizer.ggml.token_type", kTokens);
  const std::set<std::string_view> different(pieces.texts.begin(), pieces.texts.end());
  // llama.cpp takes these; the library does not.
  if (scores.empty() || types.empty() || different.size() != count || different.contains("") ||
      std::count(types.begin(), types.end(), 2.0) != 1)
    return {.note =
                "its tokenizer is not taken along: SentencePiece wants a score and a kind of every token, no "
                "text twice, and one unknown token"};
  if (scores.size() != count || types.size() != count)
    refuse(source, fmt::format("{} scores and {} kinds of {} tokens", scores.size(), types.size(), count),
           "one each");
  for (const double type : types) {
    if (!(type >= 1 && type <= 6)) refuse(source, fmt::format("a token of kind {}", type), "1 to 6");
    pieces.types.push_back(static_cast<int32_t>(type));
  }
  pieces.scores.assign(scores.begin(), scores.end());
  pieces.add_dummy_prefix = flag_of(source, "ggml.add_space_prefix", true);
  const SentencePieceIds ids{.begin = gguf_token_id(source, "bos"),
                             .end = gguf_token_id(source, "eos"),
                             .padding = gguf_token_id(source, "padding")};
  try {
    return {.assets = {{"tokenizer.model", write_sentencepiece_model(pieces, ids)},
                       tokenizer_config(source, pieces.texts, kSentencePieceClass)}};
  } catch (const json::type_error&) {
    refuse(source, "a special token that is no UTF-8", "text");
  }
}

}  // namespace

std::optional<int64_t> gguf_token_id(const GgufSource& source, const std::string& which) {
  const auto found = source.header().values.find("tokenizer.ggml." + which + "_token_id");
  const auto tokens = source.header().arrays.find("tokenizer.ggml.tokens");
  if (found == source.header().values.end() || tokens == source.header().arrays.end()) return std::nullopt;
  if (!found->is_number_integer() || *found < 0 || *found >= tokens->second.count) return std::nullopt;
  return found->get<int64_t>();
}

GgufTokenizer make_gguf_tokenizer(const GgufSource& source) {
  const std::string model = text_of(source, "ggml.model"), pre = text_of(source, "ggml.pre");
  const auto kinds = gguf_pre_tokenizers();
  const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.name == pre; });
  if (!source.header().arrays.contains("tokenizer.ggml.tokens"))
    return {.note = "the file holds no tokenizer"};
  if (model == "llama") return sentencepiece_of(source);
  if (model != "gpt2" || kind == kinds.end())
    return {.note =
                fmt::format("its tokenizer is not taken along: {} with pre-tokenizer {} is not known here",
                            json(model).dump().substr(0, 40), json(pre).dump().substr(0, 40))};
  const std::vector<std::string> tokens = source.texts("tokenizer.ggml.tokens", kTokens);
  const std::vector<double> types = source.numbers("tokenizer.ggml.token_type", kTokens);
  if (!types.empty() && types.size() != tokens.size())
    refuse(source, fmt::format("{} kinds of {} tokens", types.size(), tokens.size()), "one each");
  json bpe = {{"type", "BPE"},
              {"dropout", nullptr},
              {"unk_token", nullptr},
              {"continuing_subword_prefix", nullptr},
              {"end_of_word_suffix", nullptr},
              {"fuse_unk", false},
              {"byte_fallback", false},
              {"ignore_merges", kind->ignore_merges},
              {"vocab", vocabulary(source, tokens)},
              {"merges", merges(source)}};
  const auto if_wanted = [&](const char* flag, bool otherwise, const char* which) {
    return flag_of(source, flag, otherwise) ? gguf_token_id(source, which) : std::nullopt;
  };
  json whole = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_tokens(tokens, types)},
      {"normalizer", kind->nfc ? json{{"type", "NFC"}} : json()},
      {"pre_tokenizer", pre_tokenizer_part(*kind)},
      {"post_processor", post_processor(tokens, if_wanted("ggml.add_bos_token", kind->begins, "bos"),
                                        if_wanted("ggml.add_eos_token", false, "eos"))},
      {"decoder", byte_level_part(true)},
      {"model", std::move(bpe)}};
  try {
    return {.assets = {{"tokenizer.json", whole.dump()},
                       tokenizer_config(source, tokens, "PreTrainedTokenizerFast")}};
  } catch (const json::type_error&) {
    refuse(source, "a token that is no UTF-8", "text: bytes are spelled as characters");
  }
}

}  // namespace strata
