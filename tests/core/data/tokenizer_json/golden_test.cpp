// SPDX-License-Identifier: Apache-2.0
// Ids and text equal to those of Hugging Face tokenizers, for the parts that the families of models declare.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/utf8.h"
#include "tests/core/data/scratch.h"
#include "tests/core/data/tokenizer_json/golden.h"

namespace strata {
namespace {

using nlohmann::json;

const json& expected() {
  static const json file = golden_json("expected");
  return file;
}

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

class Family : public testing::TestWithParam<std::string> {
 protected:
  const json& golden() const { return expected()["families"][GetParam()]; }
  const JsonTokenizer tokenizer_{golden_tokenizer(GetParam())};
};

TEST_P(Family, EncodesDifficultText) {
  const json& texts = expected()["texts"];
  ASSERT_GT(texts.size(), 150U);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const json& expected = golden()["cases"][i];
    EXPECT_EQ(ids_of(tokenizer_, text), expected["ids"].get<std::vector<int32_t>>()) << json(text);
    std::vector<int32_t> around;
    tokenizer_.encode_with_surroundings(text, around);
    const json& ids = expected["around"].is_null() ? expected["ids"] : expected["around"];
    EXPECT_EQ(around, ids.get<std::vector<int32_t>>()) << json(text);
  }
}

TEST_P(Family, EncodesRandomText) {
  const json& texts = expected()["random_texts"];
  ASSERT_GE(texts.size(), 400U);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    EXPECT_EQ(hash_of_ids(ids_of(tokenizer_, text)), golden()["hashes"][i].get<std::string>()) << json(text);
  }
}

TEST_P(Family, DecodesWhatWasEncoded) {
  for (const json& expected : golden()["cases"]) {
    std::string text, with_special;
    tokenizer_.decode(expected["ids"].get<std::vector<int32_t>>(), text);
    EXPECT_EQ(repaired_utf8(text), expected["decoded"].get<std::string>()) << expected["ids"];
    const json& around = expected["around"].is_null() ? expected["ids"] : expected["around"];
    tokenizer_.decode_with_special(around.get<std::vector<int32_t>>(), with_special);
    EXPECT_EQ(repaired_utf8(with_special), expected["decoded_with_special"].get<std::string>()) << around;
  }
}

TEST_P(Family, StreamsTheTextThatDecodeGives) {
  for (const json& expected : golden()["cases"]) {
    const auto ids = expected["ids"].get<std::vector<int32_t>>();
    std::string whole, streamed;
    tokenizer_.decode(ids, whole);
    StreamDecoder stream(tokenizer_);
    for (const int32_t id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    EXPECT_EQ(streamed, repaired_utf8(whole)) << expected["ids"];
  }
}

TEST_P(Family, BytesThatAreNotUtf8CountAsReplacementCharacters) {
  const json& broken = expected()["broken"];
  for (size_t i = 0; i < broken.size(); ++i)
    EXPECT_EQ(ids_of(tokenizer_, bytes_of_hex(broken[i])), golden()["broken"][i].get<std::vector<int32_t>>())
        << broken[i];
}

INSTANTIATE_TEST_SUITE_P(Families, Family,
                         testing::Values("gpt2", "gpt2_prefix", "llama3", "qwen2", "smollm2", "deepseek",
                                         "llama2", "mistral", "marks_inside", "unknown", "unknown_fused",
                                         "folded"),
                         [](const auto& info) { return info.param; });

TEST(PreTokenizers, SplitAsTheirBehaviorSays) {
  const ScratchFolder scratch;
  json file = golden_json("gpt2");
  for (const json& variant : expected()["variants"]) {
    file["pre_tokenizer"] = variant["pre_tokenizer"];
    const JsonTokenizer tokenizer(spit(scratch / "tokenizer.json", file.dump()));
    size_t i = 0;
    for (const char* texts : {"texts", "random_texts"})
      for (const json& text : expected()[texts])
        EXPECT_EQ(hash_of_ids(ids_of(tokenizer, text.get<std::string>())),
                  variant["hashes"][i++].get<std::string>())
            << variant["name"] << ": " << text;
  }
}

}  // namespace
}  // namespace strata
