// SPDX-License-Identifier: Apache-2.0
// Whole jsonl files: the same tokens and masks for every chunk and thread count, formats, the cache of a run.
#include "core/data/records/record_file.h"

#include "core/data/tokenize.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string completions(int records) {
  std::string text;
  for (int i = 0; i < records; ++i)
    text += R"({"prompt": "é)" + std::string(static_cast<size_t>(i) % 7, 'p') + R"(", "completion": ")" +
            std::string(static_cast<size_t>(i) % 11, 'c') + "\"}" + (i % 5 == 0 ? "\r\n\n" : "\n");
  return text;
}

class RecordFile : public testing::Test {
 protected:
  TokenizeProgress tokenize(const std::vector<std::filesystem::path>& files, const std::string& out,
                            TokenizeOptions options = {}) const {
    options.records.tokenizer = "byte";
    return tokenize_files(files, scratch_ / out, *tokenizer_, options);
  }
  std::string files_of(const std::string& prefix) const {
    return slurp(scratch_ / (prefix + ".bin")) + slurp(scratch_ / (prefix + ".idx")) +
           slurp(scratch_ / (prefix + ".mask"));
  }

  ScratchFolder scratch_;
  std::unique_ptr<Tokenizer> tokenizer_ = make_tokenizer("byte");
};

TEST_F(RecordFile, BytesDependNeitherOnChunksNorOnThreads) {
  const auto file = spit(scratch_ / "a.jsonl", completions(100));
  const TokenizeProgress done = tokenize({file}, "a", {.threads = 1});
  EXPECT_EQ(done.records.records, 100);
  EXPECT_EQ(done.documents, 100);
  EXPECT_EQ(done.records.unlearned, 0);
  int64_t learned = 0;
  for (int i = 0; i < 100; ++i) learned += i % 11 + 1;
  EXPECT_EQ(done.learned, learned);
  const std::string expected = files_of("a");
  int run = 0;
  for (const int64_t chunk : {1, 3, 64, 100000})
    for (const int threads : {1, 3}) {
      const std::string out = "b" + std::to_string(run++);
      tokenize({file}, out, {.chunk_bytes = chunk, .threads = threads});
      EXPECT_EQ(files_of(out), expected) << chunk << " " << threads;
    }
}

TEST_F(RecordFile, TextAndRecordsKeepTheirOrder) {
  const auto text = spit(scratch_ / "a.txt", "T");
  const auto records = spit(scratch_ / "b.jsonl", R"({"prompt": "p", "completion": "c"})");
  const auto more = spit(scratch_ / "c.txt", "U");
  const auto done = tokenize({text, records, more}, "out");
  const TokenFile file(scratch_ / "out");
  auto tokens = all_tokens(file);
  EXPECT_THAT(tokens, ElementsAre('T', 256, 'p', 'c', 256, 'U', 256));
  file.hide_unlearned(0, tokens, -1);
  EXPECT_THAT(tokens, ElementsAre('T', 256, -1, 'c', 256, 'U', 256));
  EXPECT_EQ(done.learned, 6);
}

TEST_F(RecordFile, TheFirstBadRecordIsNamedWhateverTheThreads) {
  const auto file = spit(scratch_ / "a.jsonl", completions(50) + "{}\n" + completions(3) + "[]\n");
  const std::string good = completions(50);
  const int64_t line = std::count(good.begin(), good.end(), '\n') + 1;
  for (const int threads : {1, 4}) {
    const Error error = error_of([&] { tokenize({file}, "a", {.threads = threads}); });
    EXPECT_THAT(error.report().where, testing::EndsWith("a.jsonl:" + std::to_string(line)));
    EXPECT_THAT(scratch_.names(), ElementsAre("a.jsonl"));
  }
}

TEST_F(RecordFile, TheFormatIsTheFirstRecordsOrTheOneDemanded) {
  const auto file =
      spit(scratch_ / "a.jsonl", "{\"text\": \"a\"}\n{\"prompt\": \"\", \"completion\": \"b\"}\n");
  EXPECT_THAT(error_of([&] { tokenize({file}, "a"); }).report().where, testing::EndsWith("a.jsonl:2"));
  const Error first =
      error_of([&] { tokenize({file}, "a", {.records = {.format = DataFormat::completion}}); });
  EXPECT_THAT(first.report().where, testing::EndsWith("a.jsonl:1"));
  EXPECT_EQ(tokenize({file}, "plain", {.records = {.format = DataFormat::plain}}).documents, 1);
  const auto other = spit(scratch_ / "a.data", "{\"text\": \"a\"}\n");
  EXPECT_EQ(tokenize({other}, "text", {.records = {.format = DataFormat::text}}).tokens, 2);
  EXPECT_EQ(parse_data_format("chat"), DataFormat::chat);
  EXPECT_THAT(error_of([] { parse_data_format("chta"); }).report().found, "\"chta\"");
}

TEST_F(RecordFile, WhatTeachesNothingIsCounted) {
  const std::string asks = R"({"messages": [{"role": "user", "content": "a"}]})";
  const std::string answers =
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";
  const auto file = spit(scratch_ / "a.jsonl", answers + "\n" + asks + "\n" + asks + "\n");
  const auto done = tokenize({file}, "a", {.records = {.chat_template = "chatml"}});
  EXPECT_EQ(done.records.records, 3);
  EXPECT_EQ(done.records.unlearned, 2);
  EXPECT_THAT(done.records.first_unlearned, testing::EndsWith("a.jsonl:2"));
}

TEST_F(RecordFile, TheCacheKnowsTheTemplateAndKeepsTheMask) {
  const auto file =
      spit(scratch_ / "a.jsonl",
           R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})");
  std::filesystem::create_directory(scratch_ / "cache");
  const auto open = [&](const std::string& chat) {
    TokenizeOptions options;
    options.records = {.chat_template = chat, .tokenizer = "byte"};
    return open_data({&file, 1}, scratch_ / "cache", *tokenizer_, options);
  };
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(scratch_ / "cache"), {});
  };
  EXPECT_TRUE(open("chatml").at(0).has_mask());
  EXPECT_EQ(files(), 3);
  EXPECT_TRUE(open("chatml").at(0).has_mask());
  EXPECT_EQ(files(), 3);
  EXPECT_NE(open("llama3").at(0).fingerprint(), open("chatml").at(0).fingerprint());
  EXPECT_EQ(files(), 6);
}

TEST_F(RecordFile, NoRecordIsNoData) {
  const auto file = spit(scratch_ / "a.jsonl", "\n \n");
  EXPECT_THAT(error_of([&] { tokenize({file}, "a"); }).report().what, HasSubstr("no text"));
}

}  // namespace
}  // namespace strata
