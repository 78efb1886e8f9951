// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/json_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/code_point.h"
#include "core/data/tokenizer_json/added_tokens.h"
#include "core/data/tokenizer_json/bpe.h"
#include "core/data/tokenizer_json/decoder.h"
#include "core/data/tokenizer_json/normalizer.h"
#include "core/data/tokenizer_json/post_processor.h"
#include "core/data/tokenizer_json/pre_tokenizer.h"
#include "core/data/tokenizer_json/special_names.h"
#include "core/data/tokenizer_json/work_pool.h"
#include "core/data/utf8.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Text may be cut before an ASCII letter that begins a line without changing where this token is found.
bool keeps_line_starts(const AddedToken& token) {
  const std::string& text = token.content;
  for (size_t i = 0; i + 1 < text.size(); ++i)
    if (text[i] == '\n' && is_letter(text[i + 1])) return false;
  if (token.single_word && text.ends_with('\n')) return false;
  return !(token.lstrip && !text.empty() && is_letter(text[0]));
}

}  // namespace

struct JsonTokenizer::Parts {
  Parts(JsonPart file, const fs::path& path);
  std::vector<std::pair<std::string, int32_t>> read_added_tokens(JsonPart& file);
  void encode(std::string_view text, std::vector<int32_t>& ids) const;
  void split_and_encode(std::string_view text, bool at_start, Bpe::Work& work,
                        std::vector<int32_t>& ids) const;
  std::string decode(std::span<const int32_t> ids, bool special) const;

  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::optional<Bpe> model;
  std::optional<AddedTokenFinder> raw_tokens, normalized_tokens;
  SurroundingTokens surroundings;
  std::unique_ptr<Decoder> decoder;
  std::vector<std::string> tokens;  // by id
  std::vector<bool> special;        // by id
  std::map<std::string, int32_t, std::less<>> added;
  SpecialIds ids;
  std::optional<int32_t> letter;  // an ordinary token: stands in for what was decoded before
  bool line_starts = false;       // see safe_prefix
  uint64_t fingerprint = 0;
  mutable WorkPool<Bpe::Work> work;
};

JsonTokenizer::Parts::Parts(JsonPart file, const fs::path& path) {
  for (const char* not_for_us : {"version", "truncation", "padding"}) file.ignore(not_for_us);
  if (auto part = file.optional_part("normalizer")) normalizer = make_normalizer(*part);
  if (auto part = file.optional_part("pre_tokenizer")) pre_tokenizer = make_pre_tokenizer(*part);
  model.emplace(file.part("model"), pre_tokenizer && pre_tokenizer->is_byte_level());
  if (auto part = file.optional_part("post_processor")) surroundings = parse_post_processor(*part);
  if (auto part = file.optional_part("decoder")) decoder = make_decoder(*part);

  for (const auto& [token, id] : model->vocab()) {
    if (static_cast<size_t>(id) >= tokens.size()) tokens.resize(static_cast<size_t>(id) + 1);
    std::string& spelling = tokens[static_cast<size_t>(id)];
    if (!spelling.empty())
      file.refuse(fmt::format("two tokens have the id {}", id),
                  fmt::format("\"{}\" and \"{}\"", spelling, token), "an id for each");
    spelling = token;
  }
  line_starts = (!normalizer || normalizer->keeps_line_starts()) && pre_tokenizer &&
                pre_tokenizer->line_start() == LineStart::ends_a_piece;
  const auto normalized_spellings = read_added_tokens(file);
  file.done();
  for (const int32_t id : surroundings.before)
    if (id < 0 || static_cast<size_t>(id) >= tokens.size())
      file.refuse("the post-processor puts an id before the text that no token has", std::to_string(id),
                  "a token");
  for (const char* word : {"a", "e", "the"})
    if (const auto found = model->vocab().find(word); !letter && found != model->vocab().end())
      letter = found->second;

  ids = find_special_ids(path, tokens, special, surroundings);
  // As Hugging Face tokenizers 0.23 decodes them: normalized tokens as the normalizer writes them.
  for (const auto& [content, id] : normalized_spellings) tokens[static_cast<size_t>(id)] = content;
  fingerprint = hash_name(file.value().dump());
  fingerprint = hash_combine(fingerprint, static_cast<uint64_t>(ids.end.value_or(-1)));
}

// Returns the normalized spellings of those that are normalized.
std::vector<std::pair<std::string, int32_t>> JsonTokenizer::Parts::read_added_tokens(JsonPart& file) {
  std::vector<std::pair<std::string, int32_t>> normalized_spellings;
  std::vector<AddedToken> raw, normalized;
  std::vector<std::string> raw_contents, normalized_contents;
  if (!file.value().contains("added_tokens")) {
    raw_tokens.emplace(raw, raw_contents), normalized_tokens.emplace(normalized, normalized_contents);
    special.resize(tokens.size());
    return {};
  }
  for (JsonPart& part : file.parts("added_tokens")) {
    AddedToken token = parse_added_token(part);
    const auto id = static_cast<size_t>(token.id);
    const auto in_model = model->vocab().find(token.content);
    if (in_model != model->vocab().end() && in_model->second != token.id)
      part.refuse(fmt::format("the added token \"{}\" has another id in the vocabulary", token.content),
                  fmt::format("{} and {}", token.id, in_model->second), "one id");
    if (id >= tokens.size()) tokens.resize(id + 1);
    if (in_model == model->vocab().end() && !tokens[id].empty() && tokens[id] != token.content)
      part.refuse(fmt::format("two tokens have the id {}", id),
                  fmt::format("\"{}\" and \"{}\"", tokens[id], token.content), "an id for each");
    tokens[id] = token.content;
    special.resize(tokens.size());
    special[id] = token.special;
    line_starts = line_starts && keeps_line_starts(token);
    added.emplace(token.content, token.id);
    if (token.normalized) {
      normalized_contents.push_back(normalizer ? normalizer->apply(token.content) : token.content);
      normalized_spellings.emplace_back(normalized_contents.back(), token.id);
      normalized.push_back(std::move(token));
    } else {
      raw_contents.push_back(token.content);
      raw.push_back(std::move(token));
    }
  }
  special.resize(tokens.size());
  raw_tokens.emplace(std::move(raw), raw_contents);
  normalized_tokens.emplace(std::move(normalized), normalized_contents);
  return normalized_spellings;
}

void JsonTokenizer::Parts::split_and_encode(std::string_view text, bool at_start, Bpe::Work& work,
                                            std::vector<int32_t>& ids) const {
  if (!pre_tokenizer) return model->encode(text, work, ids);
  pre_tokenizer->split(text, at_start, [&](std::string_view word, bool) { model->encode(word, work, ids); });
}

void JsonTokenizer::Parts::encode(std::string_view text, std::vector<int32_t>& ids) const {
  const WorkPool<Bpe::Work>::Loan loan(work);
  const auto token = [&](int32_t id) { ids.push_back(id); };
  const auto normal = [&](std::string_view stretch, size_t offset, bool at_start) {
    split_and_encode(stretch, at_start && offset == 0, *loan, ids);
  };
  const auto raw = [&](std::string_view stretch, size_t offset) {
    std::string result;
    if (normalizer) stretch = result = normalizer->apply(stretch);
    normalized_tokens->split(
        stretch, {[&](std::string_view t, size_t inner) { normal(t, inner, offset == 0); }, token});
  };
  raw_tokens->split(text, {raw, token});
}

std::string JsonTokenizer::Parts::decode(std::span<const int32_t> ids, bool with_special) const {
  std::vector<std::string> pieces;
  pieces.reserve(ids.size());
  for (const int32_t id : ids) {
    check(id >= 0 && static_cast<size_t>(id) < tokens.size(),
          "[json_tokenizer] token {} of a vocabulary of {}", id, tokens.size());
    const auto index = static_cast<size_t>(id);
    if ((with_special || !special[index]) && !tokens[index].empty()) pieces.push_back(tokens[index]);
  }
  std::string text;
  if (decoder) {
    decoder->apply(pieces);
    for (const std::string& piece : pieces) text += piece;
  } else {
    for (size_t i = 0; i < pieces.size(); ++i) text.append(i ? " " : "").append(pieces[i]);
  }
  return text;
}

JsonTokenizer::JsonTokenizer(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / "tokenizer.json" : path;
  std::ifstream stream(file, std::ios::binary);
  if (!stream)
    throw Error(Fault::data,
                {.what = "a tokenizer cannot be read",
                 .where = file.string(),
                 .found = fs::exists(file) ? "a file that cannot be opened" : "no such file",
                 .expected = "a tokenizer.json",
                 .fix = "copy tokenizer.json and tokenizer_config.json from the model's folder"});
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(stream);
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(Fault::data, {.what = "a tokenizer is not JSON",
                              .where = file.string(),
                              .found = error.what(),
                              .expected = "a tokenizer.json of Hugging Face tokenizers"});
  }
  parts_ = std::make_unique<Parts>(JsonPart(json, file.string() + ": "), file);
}

JsonTokenizer::~JsonTokenizer() = default;

uint64_t JsonTokenizer::fingerprint() const { return parts_->fingerprint; }
int32_t JsonTokenizer::vocab_size() const { return static_cast<int32_t>(parts_->tokens.size()); }
std::optional<int32_t> JsonTokenizer::begin_of_text() const { return parts_->ids.begin; }
std::optional<int32_t> JsonTokenizer::end_of_text() const { return parts_->ids.end; }
std::optional<int32_t> JsonTokenizer::begin_of_document() const {
  return parts_->surroundings.before.empty() ? std::nullopt : std::optional(parts_->surroundings.before[0]);
}

void JsonTokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  Utf8Checker checker;
  if (checker.feed(text) || checker.finish()) return parts_->encode(repaired_utf8(text), ids);
  parts_->encode(text, ids);
}

void JsonTokenizer::encode_with_surroundings(std::string_view text, std::vector<int32_t>& ids) const {
  const SurroundingTokens& around = parts_->surroundings;
  ids.insert(ids.end(), around.before.begin(), around.before.end());
  encode(text, ids);
  ids.insert(ids.end(), around.after.begin(), around.after.end());
}

void JsonTokenizer::decode(std::span<const int32_t> ids, std::string& text) const {
  text += parts_->decode(ids, false);
}

void JsonTokenizer::decode_with_special(std::span<const int32_t> ids, std::string& text) const {
  text += parts_->decode(ids, true);
}

void JsonTokenizer::decode_next(std::span<const int32_t> ids, std::string& text) const {
  if (!parts_->letter) return decode(ids, text);
  std::vector<int32_t> all{*parts_->letter};
  const size_t before = parts_->decode(all, false).size();
  all.insert(all.end(), ids.begin(), ids.end());
  text += parts_->decode(all, false).substr(before);
}

size_t JsonTokenizer::safe_prefix(std::string_view text) const {
  if (!parts_->line_starts) return 0;
  // The last "x\n" before an ASCII letter, x not being white space: see LineStart. The tokens that are added
  // to the text's vocabulary were looked at too.
  for (size_t at = text.size(); (at = text.rfind('\n', at)) != text.npos && at > 0; --at) {
    if (at + 1 >= text.size() || !is_letter(text[at + 1])) continue;
    if (!is_white_space(last_code_point(text.substr(0, at)).value)) return at + 1;
  }
  return 0;
}

std::optional<int32_t> JsonTokenizer::id_of(std::string_view token) const {
  if (const auto found = parts_->added.find(token); found != parts_->added.end()) return found->second;
  const auto& vocab = parts_->model->vocab();
  const auto found = vocab.find(std::string(token));
  return found == vocab.end() ? std::nullopt : std::optional(found->second);
}

std::string_view JsonTokenizer::token(int32_t id) const {
  check(id >= 0 && id < vocab_size(), "[json_tokenizer] token {} of a vocabulary of {}", id, vocab_size());
  return parts_->tokens[static_cast<size_t>(id)];
}

}  // namespace strata
