// SPDX-License-Identifier: Apache-2.0
// Byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909, algorithm 1) as the models of tokenizer.json
// have it: a vocabulary, merges in order of rank, over characters with byte fallback, or over bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/data/tokenizer_json/json_part.h"
#include "core/data/tokenizer_json/pair_table.h"
#include "core/data/tokenizer_json/word_cache.h"

namespace strata {

class Bpe {
 public:
  // The part "model" of the file. bytes: words are bytes and the vocabulary spells them in GPT-2's alphabet.
  // Error(data) for models of another type and for options that change ids and are not known here.
  Bpe(JsonPart part, bool bytes);

  // Scratch of one thread.
  struct Work {
    struct Symbol {
      int32_t id, previous, next;  // places in `symbols`; -1: none
      bool merged_away;
    };
    struct Candidate {
      int32_t rank, place, id;
    };
    WordCache cache;
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  // Appends the ids of one word (a piece that the pre-tokenizer made), which is not empty.
  void encode(std::string_view word, Work& work, std::vector<int32_t>& ids) const;

  const std::unordered_map<std::string, int32_t>& vocab() const { return vocab_; }  // as the file spells it

 private:
  void read_vocab(JsonPart& part);
  void read_merges(JsonPart& part);
  void encode_word(std::string_view word, Work& work, std::vector<int32_t>& ids) const;
  void add_symbols(std::string_view word, Work& work) const;
  void merge(Work& work) const;
  std::optional<int32_t> find(const std::string& token) const;

  bool bytes_;
  bool ignore_merges_ = false;  // a word of the vocabulary is one token, whatever the merges say
  bool byte_fallback_ = false;  // characters that are not in the vocabulary become <0xNN> tokens
  bool fuse_unknown_ = false;
  bool mark_begins_words_ = false;        // no merge joins anything but marks to a following U+2581
  std::array<bool, 256> stands_alone_{};  // characters of ASCII that no merge touches
  int32_t unknown_ = -1;
  std::unordered_map<std::string, int32_t> vocab_;
  std::unordered_map<std::string, int32_t> by_bytes_;  // bytes: by what the tokens mean
  std::array<int32_t, 256> byte_ids_{};                // of single bytes, -1: none
  PairTable merges_;
};

}  // namespace strata
