// SPDX-License-Identifier: Apache-2.0
#include "core/data/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <charconv>
#include <fstream>
#include <iterator>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/data/utf8.h"

namespace strata {
namespace {

constexpr std::string_view kMark = "\xE2\x96\x81";  // U+2581: a space

class SentencePieceTokenizer final : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(const std::filesystem::path& model) {
    std::ifstream file(model, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    const auto status = processor_.LoadFromSerializedProto(bytes);
    if (!file || bytes.empty() || !status.ok())
      throw Error(Fault::data, {.what = "a SentencePiece model cannot be read",
                                .where = model.string(),
                                .found = bytes.empty() ? "no bytes" : status.ToString(),
                                .expected = "the tokenizer.model of a model's folder"});
    fingerprint_ = hash_combine(hash_name(bytes), bytes.size());
    std::vector<int> ids;
    check(processor_.Encode("a", &ids).ok(), "[sentencepiece] cannot encode");
    prefixes_ = !ids.empty() && std::string_view(processor_.IdToPiece(ids[0])).starts_with(kMark);
  }

  std::string_view name() const override { return "sentencepiece"; }
  uint64_t fingerprint() const override { return fingerprint_; }
  int32_t vocab_size() const override { return processor_.GetPieceSize(); }
  std::optional<int32_t> begin_of_text() const override { return id_or_none(processor_.bos_id()); }
  std::optional<int32_t> end_of_text() const override { return id_or_none(processor_.eos_id()); }
  std::optional<int32_t> begin_of_document() const override { return begin_of_text(); }
  std::optional<int32_t> end_of_document() const override { return end_of_text(); }

  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    Utf8Checker checker;
    std::string repaired;
    if (checker.feed(text) || checker.finish()) text = repaired = repaired_utf8(text);
    std::vector<int> encoded;
    const auto status = processor_.Encode(text, &encoded);
    check(status.ok(), "[sentencepiece] {}", status.ToString());
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }

  // Not the library's Decode, which makes U+FFFD of bytes whose character is not whole yet.
  void decode(std::span<const int32_t> ids, std::string& text) const override {
    bool first = prefixes_;
    for (const int32_t id : ids) {
      const std::string piece = text_of(id);
      text.append(piece, first && piece.starts_with(' ') ? 1 : 0);
      first = first && piece.empty();
    }
  }
  void decode_next(std::span<const int32_t> ids, std::string& text) const override {
    for (const int32_t id : ids) text += text_of(id);
  }

  size_t safe_prefix(std::string_view) const override { return 0; }

 private:
  static std::optional<int32_t> id_or_none(int id) {
    return id < 0 ? std::nullopt : std::optional<int32_t>(id);
  }

  std::string text_of(int32_t id) const {
    check(id >= 0 && id < vocab_size(), "[sentencepiece] token {} of a vocabulary of {}", id, vocab_size());
    if (processor_.IsControl(id)) return "";
    if (processor_.IsUnknown(id)) return " \xE2\x81\x87 ";  // U+2047, as the library shows it
    std::string_view piece = processor_.IdToPiece(id);
    if (processor_.IsByte(id)) {  // <0xNN>
      unsigned byte = 0;
      std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
      return std::string(1, static_cast<char>(byte));
    }
    std::string text;
    for (size_t at; (at = piece.find(kMark)) != piece.npos; piece.remove_prefix(at + kMark.size()))
      text.append(piece.substr(0, at)).append(" ");
    return text.append(piece);
  }

  sentencepiece::SentencePieceProcessor processor_;
  uint64_t fingerprint_ = 0;
  bool prefixes_ = false;  // a space is put before the text
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::filesystem::path& model) {
  return std::make_unique<SentencePieceTokenizer>(model);
}

}  // namespace strata
