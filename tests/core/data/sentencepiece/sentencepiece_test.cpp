// SPDX-License-Identifier: Apache-2.0
// SentencePiece models against the library's own Python module (tests/golden/make_sentencepiece.py).
#include "core/data/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/data/utf8.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(STRATA_SOURCE_DIR) / "tests/golden/sentencepiece";

TEST(SentencePiece, EncodesAndDecodesAsItsOwnModule) {
  const auto expected = nlohmann::json::parse(slurp(kGolden / "expected.json"));
  ASSERT_GT(expected["texts"].size(), 200U);
  for (const auto& [kind, golden] : expected["models"].items()) {
    const auto tokenizer = make_tokenizer((kGolden / (kind + ".model")).string());
    EXPECT_EQ(tokenizer->vocab_size(), 700);
    EXPECT_EQ(tokenizer->begin_of_text(), 1);
    EXPECT_EQ(tokenizer->end_of_document(), 2);
    for (size_t i = 0; i < expected["texts"].size(); ++i) {
      const auto text = expected["texts"][i].get<std::string>();
      std::vector<int32_t> ids;
      tokenizer->encode(text, ids);
      EXPECT_EQ(ids, golden["ids"][i].get<std::vector<int32_t>>()) << kind << ": " << expected["texts"][i];
      std::string decoded, streamed;
      tokenizer->decode(ids, decoded);
      EXPECT_EQ(decoded, golden["decoded"][i].get<std::string>()) << kind << ": " << expected["texts"][i];
      StreamDecoder stream(*tokenizer);
      for (const int32_t id : ids) streamed += stream.push(id);
      EXPECT_EQ(streamed + stream.finish(), decoded);
    }
  }
}

TEST(SentencePiece, RefusesWhatIsNoModel) {
  const ScratchFolder scratch;
  for (const char* bytes : {"", "not a model"}) {
    const auto path = spit(scratch / "tokenizer.model", bytes);
    const Error error = error_of([&] { make_tokenizer(path.string()); });
    EXPECT_EQ(error.fault(), Fault::data);
    EXPECT_THAT(error.what(), testing::HasSubstr("tokenizer.model"));
  }
  EXPECT_EQ(error_of([&] { make_tokenizer((scratch / "absent.model").string()); }).fault(), Fault::data);
}

}  // namespace
}  // namespace strata
