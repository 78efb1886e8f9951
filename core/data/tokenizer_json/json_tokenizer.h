// SPDX-License-Identifier: Apache-2.0
// The tokenizer that a tokenizer.json of Hugging Face tokenizers describes, built from its declared parts:
// normalizer, pre-tokenizer, BPE model, added tokens, post-processor, decoder. What is not known is refused
// by name, never guessed, for a guess is ids that differ silently. "truncation" and "padding" are not
// applied.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "core/data/tokenizer.h"

namespace strata {

class JsonTokenizer final : public Tokenizer {
 public:
  // A tokenizer.json, or the folder that holds it. The names of the special tokens are taken from the
  // tokenizer_config.json beside it when there is one, else from the post-processor. Error(data) with the
  // path of the field that is wrong or not known.
  explicit JsonTokenizer(const std::filesystem::path& path);
  ~JsonTokenizer() override;

  std::string_view name() const override { return "tokenizer.json"; }
  uint64_t fingerprint() const override;
  int32_t vocab_size() const override;
  std::optional<int32_t> begin_of_text() const override;
  std::optional<int32_t> end_of_text() const override;
  std::optional<int32_t> end_of_document() const override { return end_of_text(); }
  std::optional<int32_t> begin_of_document() const override;

  // As add_special_tokens=False: without what the post-processor puts around the text, but added tokens that
  // the text spells become their ids. Bytes that are not UTF-8 count as U+FFFD.
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  // As skip_special_tokens=True.
  void decode(std::span<const int32_t> ids, std::string& text) const override;
  void decode_next(std::span<const int32_t> ids, std::string& text) const override;
  size_t safe_prefix(std::string_view text) const override;

  void encode_with_surroundings(std::string_view text,
                                std::vector<int32_t>& ids) const;  // add_special_tokens=True
  void decode_with_special(std::span<const int32_t> ids,
                           std::string& text) const override;  // skip_special_tokens=False
  std::optional<int32_t> id_of(std::string_view token) const;
  // Its spelling in the vocabulary (bytes in GPT-2's alphabet); empty when no token has the id.
  std::string_view token(int32_t id) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace strata
