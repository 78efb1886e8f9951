// SPDX-License-Identifier: Apache-2.0
// Parts that are not known, or do not fit together, are refused with their path in the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/core/data/scratch.h"
#include "tests/core/data/tokenizer_json/golden.h"

namespace strata {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

struct Refusal {
  const char *base, *patch;  // RFC 7386: merged into the file of tests/golden/tokenizers
  const char *place, *found;
};

const Refusal kRefusals[] = {
    {"gpt2", R"({"normalizer": {"type": "Precompiled"}})", "normalizer", "\"Precompiled\""},
    {"gpt2", R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]}})",
     "normalizer.normalizers[1]", "\"Nmt\""},
    {"gpt2", R"({"pre_tokenizer": {"type": "UnicodeScripts"}})", "pre_tokenizer", "\"UnicodeScripts\""},
    {"gpt2", R"({"pre_tokenizer": {"surprise": 1}})", "pre_tokenizer", "\"surprise\""},
    {"gpt2", R"({"pre_tokenizer": {"use_regex": "yes"}})", "pre_tokenizer", "\"yes\""},
    {"qwen2",
     R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Whitespace"}]}})",
     "pre_tokenizer.pretokenizers[1]", "Whitespace"},
    {"qwen2",
     R"({"pre_tokenizer": {"type": "Split", "pretokenizers": null, "pattern": {"Regex": "(?<=a)b"}, "behavior": "Isolated"}})",
     "pre_tokenizer.pattern", "look-behind"},
    {"qwen2",
     R"({"pre_tokenizer": {"type": "Split", "pretokenizers": null, "pattern": {"Regex": "a\\b"}, "behavior": "Isolated"}})",
     "pre_tokenizer.pattern", "\\b"},
    {"qwen2",
     R"({"pre_tokenizer": {"type": "Split", "pretokenizers": null, "pattern": {"Regex": "(a"}, "behavior": "Isolated"}})",
     "pre_tokenizer.pattern", "(a"},
    {"qwen2",
     R"({"pre_tokenizer": {"type": "Split", "pretokenizers": null, "pattern": {"String": "a"}, "behavior": "Kept"}})",
     "pre_tokenizer", "\"Kept\""},
    {"gpt2", R"({"model": {"type": "WordPiece"}})", "model", "\"WordPiece\""},
    {"gpt2", R"({"model": {"dropout": 0.1}})", "model", "0.1"},
    {"gpt2", R"({"model": {"continuing_subword_prefix": "##"}})", "model", "##"},
    {"gpt2", R"({"model": {"unk_token": "<none>"}})", "model", "<none>"},
    {"gpt2", R"({"model": {"merges": ["a b c"]}})", "model", "a b c"},
    {"gpt2", R"({"model": {"merges": [["zz", "qq"]]}})", "model", "zz"},
    {"gpt2", R"({"model": {"merges": 3}})", "model", "number"},
    {"gpt2", R"({"model": {"vocab": {"a": -1}}})", "model", "-1"},
    {"gpt2", R"({"model": {"vocab": {"twin": 5}}})", "tokenizer.json", "twin"},
    {"gpt2", R"({"added_tokens": [{"id": 1, "content": "<new>"}]})", "added_tokens[0]", "<new>"},
    {"gpt2", R"({"added_tokens": [{"content": "<new>"}]})", "added_tokens[0]", "\"id\""},
    {"gpt2", R"({"post_processor": {"type": "BertProcessing"}})", "post_processor", "\"BertProcessing\""},
    {"llama2", R"({"decoder": {"type": "Sequence", "decoders": [{"type": "CTC"}]}})", "decoder.decoders[0]",
     "\"CTC\""},
    {"llama2", R"({"decoder": null, "model": null})", "tokenizer.json", "\"model\""},
    {"gpt2", R"({"new_section": {}})", "tokenizer.json", "\"new_section\""},
};

TEST(Refusals, NameThePlaceAndWhatStandsThere) {
  const ScratchFolder scratch;
  for (const Refusal& refusal : kRefusals) {
    json file = golden_json(refusal.base);
    file.merge_patch(json::parse(refusal.patch));
    const auto path = spit(scratch / "tokenizer.json", file.dump());
    const Error error = error_of([&] { JsonTokenizer tokenizer(path); });
    EXPECT_EQ(error.fault(), Fault::data) << refusal.patch;
    EXPECT_THAT(error.report().where, AllOf(HasSubstr(path.string()), HasSubstr(refusal.place)))
        << refusal.patch;
    EXPECT_THAT(error.what(), HasSubstr(refusal.found)) << refusal.patch;
  }
}

TEST(Refusals, OfFilesThatAreNoTokenizers) {
  const ScratchFolder scratch;
  for (const char* bytes : {"", "{", "[]", "{}"})
    EXPECT_EQ(error_of([&] { JsonTokenizer(spit(scratch / "tokenizer.json", bytes)); }).fault(), Fault::data)
        << bytes;
  EXPECT_THAT(error_of([&] { JsonTokenizer(scratch / "absent.json"); }).what(), HasSubstr("no such file"));
}

TEST(SpecialTokens, AreNamedByTheConfigurationBesideTheFile) {
  const ScratchFolder scratch;
  const auto path = spit(scratch / "tokenizer.json", golden_json("qwen2").dump());
  EXPECT_EQ(JsonTokenizer(path).end_of_text(), std::nullopt);
  spit(scratch / "tokenizer_config.json",
       R"({"bos_token": null, "eos_token": {"content": "<|im_end|>"}, "other": 1})");
  const JsonTokenizer tokenizer(scratch / ".");
  EXPECT_EQ(tokenizer.begin_of_text(), std::nullopt);
  EXPECT_EQ(tokenizer.end_of_document(), tokenizer.id_of("<|im_end|>"));
  EXPECT_EQ(tokenizer.token(*tokenizer.end_of_text()), "<|im_end|>");
  EXPECT_NE(tokenizer.fingerprint(), JsonTokenizer(golden_tokenizer("qwen2")).fingerprint());
  spit(scratch / "tokenizer_config.json", R"({"eos_token": "<absent>"})");
  EXPECT_THAT(error_of([&] { JsonTokenizer again(path); }).what(), HasSubstr("<absent>"));
  // Without a configuration the post-processor tells.
  const JsonTokenizer llama(golden_tokenizer("llama3"));
  EXPECT_EQ(llama.begin_of_document(), llama.id_of("<|begin_of_text|>"));
}

TEST(JsonTokenizer, IsUsedFromSeveralThreads) {
  const JsonTokenizer tokenizer(golden_tokenizer("llama3"));
  const std::string text = golden_json("expected")["texts"].dump();
  const auto expected = ids_of(tokenizer, text);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) EXPECT_EQ(ids_of(tokenizer, text), expected);
    });
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace strata
