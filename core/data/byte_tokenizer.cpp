// SPDX-License-Identifier: Apache-2.0
#include "core/data/byte_tokenizer.h"

#include "core/base/check.h"
#include "core/base/hash.h"

namespace strata {
namespace {

class ByteTokenizer final : public Tokenizer {
 public:
  std::string_view name() const override { return "byte"; }
  uint64_t fingerprint() const override { return hash_name("tokenizer: bytes, 256 ends a document"); }
  int32_t vocab_size() const override { return kEnd + 1; }
  std::optional<int32_t> end_of_text() const override { return kEnd; }
  std::optional<int32_t> end_of_document() const override { return kEnd; }

  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    const size_t before = ids.size();
    ids.resize(before + text.size());
    for (size_t i = 0; i < text.size(); ++i) ids[before + i] = static_cast<unsigned char>(text[i]);
  }

  void decode(std::span<const int32_t> ids, std::string& text) const override {
    for (const int32_t id : ids) {
      check(id >= 0 && id <= kEnd, "[byte_tokenizer] token {} of a vocabulary of {}", id, kEnd + 1);
      if (id != kEnd) text.push_back(static_cast<char>(id));
    }
  }

  size_t safe_prefix(std::string_view text) const override { return text.size(); }

 private:
  static constexpr int32_t kEnd = 256;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace strata
