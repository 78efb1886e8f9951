// SPDX-License-Identifier: Apache-2.0
#include "core/data/tokenizer_json/bpe.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/data/code_point.h"
#include "core/data/tokenizer_json/byte_level.h"

namespace strata {
namespace {

constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

size_t byte(char c) { return static_cast<unsigned char>(c); }

// Of two candidates the one with the lower rank goes first, of equal ranks the one further left.
struct GoesLater {
  bool operator()(const Bpe::Work::Candidate& a, const Bpe::Work::Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
  }
};

// "a b" or ["a", "b"].
std::optional<std::pair<std::string, std::string>> pair_of(const nlohmann::json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  if (!merge.is_string()) return std::nullopt;
  const auto& text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos) return std::nullopt;
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

void refuse_unless_empty(JsonPart& part, const char* key) {
  if (const auto text = part.optional_text(key); text && !text->empty())
    part.refuse(fmt::format("BPE with \"{}\" is not known", key), *text, "null");
}

}  // namespace

Bpe::Bpe(JsonPart part, bool bytes) : bytes_(bytes) {
  if (const std::string type = part.text("type", "BPE"); type != "BPE")
    part.refuse("a tokenizer model is not known", fmt::format("\"{}\"", type), "BPE");
  refuse_unless_empty(part, "continuing_subword_prefix");
  refuse_unless_empty(part, "end_of_word_suffix");
  if (const auto& value = part.value(); value.contains("dropout")) {
    const auto& dropout = part.any("dropout");
    if (!dropout.is_null() && dropout != 0.0)
      part.refuse("BPE with dropout gives other ids every time", dropout.dump(), "null");
  }
  ignore_merges_ = part.flag("ignore_merges", false);
  byte_fallback_ = part.flag("byte_fallback", false);
  fuse_unknown_ = part.flag("fuse_unk", false);
  read_vocab(part);
  if (const auto unknown = part.optional_text("unk_token")) {
    const auto id = find(*unknown);
    if (!id) part.refuse("the unknown token is not in the vocabulary", *unknown, "a token of \"vocab\"");
    unknown_ = *id;
  }
  read_merges(part);
  part.done();
}

std::optional<int32_t> Bpe::find(const std::string& token) const {
  const auto entry = vocab_.find(token);
  return entry == vocab_.end() ? std::nullopt : std::optional(entry->second);
}

void Bpe::read_vocab(JsonPart& part) {
  const auto& vocab = part.any("vocab");
  if (!vocab.is_object())
    part.refuse("\"vocab\" is not an object", vocab.type_name(), "tokens with their ids");
  vocab_.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_integer() || id < 0 || id > (1 << 28))
      part.refuse(fmt::format("the id of the token \"{}\" is none", token), id.dump(), "a number from 0");
    vocab_.emplace(token, id.get<int32_t>());
  }
  byte_ids_.fill(-1);
  if (!bytes_) {
    for (int byte = 0; byte < 256 && byte_fallback_; ++byte)
      byte_ids_[static_cast<size_t>(byte)] = find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
    return;
  }
  const ByteAlphabet alphabet;
  for (const auto& [token, id] : vocab_) {
    const auto meaning = alphabet.bytes(token);
    if (!meaning) continue;
    if (meaning->size() == 1) byte_ids_[static_cast<unsigned char>((*meaning)[0])] = id;
    if (ignore_merges_) by_bytes_.emplace(*meaning, id);
  }
}

void Bpe::read_merges(JsonPart& part) {
  const auto& merges = part.any("merges");
  if (!merges.is_array()) part.refuse("\"merges\" is not a list", merges.type_name(), "a list of pairs");
  merges_ = PairTable(merges.size());
  // Where unknown characters are fused, one that is unknown must not be parted from its neighbours.
  const bool all_bytes = std::all_of(byte_ids_.begin(), byte_ids_.end(), [](int32_t id) { return id >= 0; });
  for (size_t c = 0; c < 0x80; ++c)
    stands_alone_[c] = all_bytes || find(std::string(1, static_cast<char>(c))).has_value();
  mark_begins_words_ = !bytes_ && !ignore_merges_ && find(std::string(kMark)).has_value();
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto pair = pair_of(merges[rank]);
    if (!pair)
      part.refuse(fmt::format("merge {} is not a pair", rank), merges[rank].dump(),
                  "\"a b\" or [\"a\", \"b\"]");
    const auto left = find(pair->first), right = find(pair->second), both = find(pair->first + pair->second);
    if (!left || !right || !both)
      part.refuse(fmt::format("merge {} has a part that is not in the vocabulary", rank), merges[rank].dump(),
                  "the two parts and what they become in \"vocab\"");
    merges_.insert(*left, *right, {static_cast<int32_t>(rank), *both});
    if (pair->second.starts_with(kMark) && !pair->first.ends_with(kMark)) mark_begins_words_ = false;
    for (const char c : pair->first + pair->second) stands_alone_[byte(c)] = false;
  }
}

void Bpe::encode(std::string_view word, Work& work, std::vector<int32_t>& ids) const {
  // Models without a pre-tokenizer get whole documents. Where no merge can join, the text falls into words.
  while (mark_begins_words_ && !word.empty()) {
    size_t end = 0;
    while (word.substr(end).starts_with(kMark)) end += kMark.size();
    while (end < word.size() && !word.substr(end).starts_with(kMark) && !stands_alone_[byte(word[end])])
      ++end;
    if (end == 0) end = 1;
    encode_word(word.substr(0, end), work, ids);
    word.remove_prefix(end);
  }
  if (!word.empty()) encode_word(word, work, ids);
}

void Bpe::encode_word(std::string_view word, Work& work, std::vector<int32_t>& ids) const {
  const bool cached = word.size() <= WordCache::kWordBytes;
  const uint64_t hash = cached ? WordCache::hash_of(word) : 0;
  if (cached)
    if (const auto known = work.cache.find(word, hash); !known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
      return;
    }
  const size_t before = ids.size();
  if (ignore_merges_) {
    const auto& words = bytes_ ? by_bytes_ : vocab_;
    if (const auto whole = words.find(std::string(word)); whole != words.end()) {
      ids.push_back(whole->second);
      if (cached) work.cache.insert(word, hash, {&ids[before], 1});
      return;
    }
  }
  work.symbols.clear();
  add_symbols(word, work);
  merge(work);
  for (const auto& symbol : work.symbols)
    if (!symbol.merged_away) ids.push_back(symbol.id);
  if (cached) work.cache.insert(word, hash, std::span(ids).subspan(before));
}

void Bpe::add_symbols(std::string_view word, Work& work) const {
  const auto add = [&](int32_t id) {
    const auto place = static_cast<int32_t>(work.symbols.size());
    work.symbols.push_back({id, place - 1, place + 1, false});
  };
  bool unknown_open = false;  // an unknown character that is not added yet: more may be fused with it
  const auto unknown = [&] {
    if (unknown_ < 0) return;  // a model without an unknown token drops the character
    if (unknown_open && !fuse_unknown_) add(unknown_);
    unknown_open = true;
  };
  const auto known = [&](int32_t id) {
    if (unknown_open) add(unknown_);
    unknown_open = false;
    add(id);
  };
  std::string character;
  while (!word.empty()) {
    size_t bytes = 1;
    if (bytes_) {
      const int32_t id = byte_ids_[static_cast<unsigned char>(word[0])];
      id >= 0 ? known(id) : unknown();
    } else {
      bytes = first_code_point(word).bytes;
      character = word.substr(0, bytes);
      const auto of_byte = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
      if (const auto entry = vocab_.find(character); entry != vocab_.end())
        known(entry->second);
      else if (byte_fallback_ &&
               std::all_of(character.begin(), character.end(), [&](char byte) { return of_byte(byte) >= 0; }))
        for (const char byte : character) add(of_byte(byte));
      else
        unknown();
    }
    word.remove_prefix(bytes);
  }
  if (unknown_open) add(unknown_);
  if (!work.symbols.empty()) work.symbols.back().next = -1;
}

void Bpe::merge(Work& work) const {
  auto& symbols = work.symbols;
  auto& heap = work.heap;
  heap.clear();
  const auto consider = [&](int32_t place) {
    const auto& left = symbols[static_cast<size_t>(place)];
    if (left.next < 0) return false;
    const auto merge = merges_.find(left.id, symbols[static_cast<size_t>(left.next)].id);
    if (merge.rank >= 0) heap.push_back({merge.rank, place, merge.id});
    return merge.rank >= 0;
  };
  for (size_t place = 0; place + 1 < symbols.size(); ++place) consider(static_cast<int32_t>(place));
  std::make_heap(heap.begin(), heap.end(), GoesLater{});
  const auto consider_new = [&](int32_t place) {
    if (consider(place)) std::push_heap(heap.begin(), heap.end(), GoesLater{});
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), GoesLater{});
    const auto candidate = heap.back();
    heap.pop_back();
    auto& left = symbols[static_cast<size_t>(candidate.place)];
    if (left.merged_away || left.next < 0) continue;
    auto& right = symbols[static_cast<size_t>(left.next)];
    if (merges_.find(left.id, right.id).id != candidate.id) continue;  // made when other symbols stood here
    left.id = candidate.id;
    right.merged_away = true;
    left.next = right.next;
    if (right.next >= 0) symbols[static_cast<size_t>(right.next)].previous = candidate.place;
    if (left.previous >= 0) consider_new(left.previous);
    consider_new(candidate.place);
  }
}

}  // namespace strata
