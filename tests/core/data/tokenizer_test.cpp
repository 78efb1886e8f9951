// SPDX-License-Identifier: Apache-2.0
// Every tokenizer of the table; text that streams out byte by byte.
#include "core/data/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/data/utf8.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kTexts[] = {
    "", "a", "In the beginning", "Καλημέρα κόσμε", "naïve 👋🏽 \n\t\r\n", std::string("\0x", 2)};

TEST(Tokenizers, EveryRowKeepsTheContract) {
  std::set<uint64_t> fingerprints;
  for (const TokenizerKind& kind : tokenizer_kinds()) {
    const auto tokenizer = make_tokenizer(kind.name);
    EXPECT_EQ(tokenizer->name(), kind.name);
    EXPECT_FALSE(kind.help.empty());
    EXPECT_EQ(tokenizer->fingerprint(), kind.make()->fingerprint());
    EXPECT_TRUE(fingerprints.insert(tokenizer->fingerprint()).second);
    for (const std::string& text : kTexts) {
      std::vector<int32_t> ids = {5};
      tokenizer->encode(text, ids);
      ASSERT_EQ(ids[0], 5) << "encode appends";
      ids.erase(ids.begin());
      std::string back = "before ";
      tokenizer->decode(ids, back);
      EXPECT_EQ(back, "before " + text);
      for (const int32_t id : ids) {
        EXPECT_GE(id, 0);
        EXPECT_LT(id, tokenizer->vocab_size());
        for (const auto special :
             {tokenizer->begin_of_text(), tokenizer->end_of_text(), tokenizer->end_of_document()})
          EXPECT_NE(id, special.value_or(-1));
      }
      // Cut at the safe prefix: the same ids.
      const size_t cut = tokenizer->safe_prefix(text);
      std::vector<int32_t> pieces;
      tokenizer->encode(text.substr(0, cut), pieces);
      tokenizer->encode(text.substr(cut), pieces);
      EXPECT_EQ(pieces, ids);
    }
  }
}

TEST(Tokenizers, AnUnknownNameListsTheKnown) {
  try {
    make_tokenizer("bite");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    EXPECT_THAT(error.report().found, HasSubstr("\"bite\""));
    EXPECT_THAT(error.report().expected, HasSubstr("\"byte\""));
  }
}

TEST(ByteTokenizer, IdsAreBytes) {
  const auto tokenizer = make_tokenizer("byte");
  EXPECT_EQ(tokenizer->vocab_size(), 257);
  EXPECT_EQ(tokenizer->end_of_document(), 256);
  std::vector<int32_t> ids;
  tokenizer->encode("aé", ids);
  EXPECT_THAT(ids, ElementsAre(0x61, 0xC3, 0xA9));
  std::string text;
  tokenizer->decode(std::vector<int32_t>{0x61, 256, 0xC3, 0xA9}, text);
  EXPECT_EQ(text, "aé") << "the end of a document has no text";
  EXPECT_THROW(tokenizer->decode(std::vector<int32_t>{257}, text), ContractError);
  EXPECT_THROW(tokenizer->decode(std::vector<int32_t>{-1}, text), ContractError);
}

TEST(StreamDecoder, IsUtf8AtEveryMomentAndLosesNothing) {
  const auto tokenizer = make_tokenizer("byte");
  for (const std::string& text : kTexts) {
    StreamDecoder decoder(*tokenizer);
    std::string seen;
    for (const char c : text) {
      seen += decoder.push(static_cast<unsigned char>(c));
      Utf8Checker checker;
      ASSERT_FALSE(checker.feed(seen) || checker.finish()) << seen;
    }
    EXPECT_EQ(seen + decoder.finish(), text);
  }
}

TEST(StreamDecoder, ReplacesWhatIsNoText) {
  const auto tokenizer = make_tokenizer("byte");
  const struct {
    std::string bytes, text;
  } rows[] = {
      {"a\xFFz", "a\uFFFDz"},
      {"\xE2\x82z", "\uFFFDz"},             // an unfinished character is one replacement
      {"\xE2\x82\xE2\x82\xAC", "\uFFFD€"},  // and the next one is whole
      {"\x80\x80", "\uFFFD\uFFFD"},
      {"ab\xF0\x9F", "ab\uFFFD"},  // unfinished at the end
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
  };
  for (const auto& row : rows) {
    StreamDecoder decoder(*tokenizer);
    std::string seen;
    for (const char c : row.bytes) seen += decoder.push(static_cast<unsigned char>(c));
    EXPECT_EQ(seen + decoder.finish(), row.text);
    EXPECT_EQ(decoder.finish(), "");
  }
}

}  // namespace
}  // namespace strata
