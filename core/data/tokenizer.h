// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace strata {

// Stateless after construction: safe to use from several threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string_view name() const = 0;
  // Equal exactly when two tokenizers give the same ids for every text: kept in checkpoints and cache names.
  virtual uint64_t fingerprint() const = 0;
  virtual int32_t vocab_size() const = 0;  // ids are [0, vocab_size())

  // Special ids, where the vocabulary has them. They decode to nothing; only text that spells one encodes to
  // it.
  virtual std::optional<int32_t> begin_of_text() const { return std::nullopt; }
  virtual std::optional<int32_t> end_of_text() const { return std::nullopt; }
  virtual std::optional<int32_t> end_of_document() const { return std::nullopt; }

  // What a model of this tokenizer has seen in front of every document, where it has.
  virtual std::optional<int32_t> begin_of_document() const { return std::nullopt; }

  // Appends the ids of UTF-8 text to `ids`.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
  // Appends the bytes of `ids` to `text`. A character may span ids: see StreamDecoder.
  virtual void decode(std::span<const int32_t> ids, std::string& text) const = 0;
  // As decode, but special tokens are spelled where the vocabulary spells them: for looking at data.
  virtual void decode_with_special(std::span<const int32_t> ids, std::string& text) const {
    decode(ids, text);
  }
  // As decode, for ids that follow others: a tokenizer that puts a space before every text takes none away
  // here.
  virtual void decode_next(std::span<const int32_t> ids, std::string& text) const { decode(ids, text); }

  // Length of a prefix of `text` that encodes the same whatever follows it, and after which the rest encodes
  // as if it stood alone; 0 when there is none. Lets a long document be encoded in pieces.
  virtual size_t safe_prefix(std::string_view text) const = 0;
};

// Turns ids that arrive one by one into text that is UTF-8 at every moment: bytes of an unfinished character
// are held back, bytes that can never become one are replaced by U+FFFD. The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::string push(int32_t id);
  std::string finish();  // what is left, U+FFFD for an unfinished character

 private:
  const Tokenizer& tokenizer_;
  std::string held_;
  bool begun_ = false;
};

struct TokenizerKind {
  std::string_view name;
  std::string_view help;
  std::unique_ptr<Tokenizer> (*make)();
};

// The tokenizers that need no files.
std::span<const TokenizerKind> tokenizer_kinds();
// By name, or the path of a tokenizer.json, of a folder that holds one, or of a SentencePiece .model;
// Error(usage) listing the names when it is none of these, Error(data) when the file cannot be used.
std::unique_ptr<Tokenizer> make_tokenizer(std::string_view name);

}  // namespace strata
