// SPDX-License-Identifier: Apache-2.0
// Long documents: pieces cut at safe places give the ids of the whole, and files are the same for any number
// of threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/data/tokenize.h"
#include "tests/core/data/scratch.h"
#include "tests/core/data/tokenizer_json/golden.h"

namespace strata {
namespace {

// Everything that could stand around the start of a line, in a random order.
std::string random_lines(uint32_t seed, size_t bytes) {
  static const std::string parts[] = {"the",
                                      "licence ",
                                      "Y",
                                      "\n",
                                      "\n",
                                      "\n",
                                      "\n\n",
                                      " \n",
                                      "\r\n",
                                      " ",
                                      "  ",
                                      "\t",
                                      ".",
                                      "...",
                                      ")",
                                      "'s",
                                      "'LL",
                                      "'",
                                      "12345",
                                      "7",
                                      "x",
                                      "é",
                                      "e\u0301",
                                      "\u0301",
                                      "中文",
                                      "の",
                                      "\u00A0",
                                      "\u3000",
                                      "🙂",
                                      "<|im_end|>",
                                      "<|endoftext|>",
                                      "<think>",
                                      "\u200D",
                                      "_",
                                      "\x01"};
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < bytes) text += parts[random() % std::size(parts)];
  return text;
}

// The family's parts with a model that joins every two neighbours of these characters in one word, so that a
// word that ends elsewhere shows.
std::filesystem::path joining_neighbours(const ScratchFolder& scratch, const std::string& name) {
  auto file = golden_json(name);
  auto& model = file["model"];
  int next = 5000;
  const std::string characters[] = {"Ġ", "Ċ", "č", "ĉ", ".", ")", "'", "Y", "L",
                                    "t", "s", "l", "x", "7", "5", "_", "ģ"};
  auto merges = nlohmann::json::array();
  for (const std::string& a : characters)
    for (const std::string& b : characters) {
      if (!model["vocab"].contains(a + b)) model["vocab"][a + b] = next++;
      merges.push_back({a, b});
    }
  model["merges"] = merges;
  return spit(scratch / (name + ".json"), file.dump());
}

TEST(SafePrefix, CutTextGivesTheIdsOfTheWhole) {
  const ScratchFolder scratch;
  for (const char* name : {"gpt2", "llama3", "qwen2", "smollm2", "deepseek"}) {
    const JsonTokenizer tokenizer(joining_neighbours(scratch, name));
    int cuts = 0;
    for (uint32_t seed = 0; seed < 1500; ++seed) {
      const std::string text = random_lines(seed, 300);
      std::vector<int32_t> pieces;
      std::string_view rest = text;
      // Every safe place, not the last alone: ask about ever shorter beginnings.
      for (size_t upto = 1; upto <= rest.size();) {
        const size_t cut = tokenizer.safe_prefix(rest.substr(0, upto));
        if (cut == 0) {
          ++upto;
          continue;
        }
        tokenizer.encode(rest.substr(0, cut), pieces);
        rest.remove_prefix(cut);
        upto = 1;
        ++cuts;
      }
      tokenizer.encode(rest, pieces);
      ASSERT_EQ(pieces, ids_of(tokenizer, text)) << name << ": " << nlohmann::json(text);
    }
    EXPECT_GT(cuts, 1000) << name;
  }
}

TEST(SafePrefix, IsNoneWhereALineStartIsLikeAnyOtherPlace) {
  for (const char* name : {"gpt2_prefix", "llama2", "mistral", "marks_inside", "unknown", "folded"})
    EXPECT_EQ(JsonTokenizer(golden_tokenizer(name)).safe_prefix("one line\nAnother"), 0U) << name;
}

TEST(SafePrefix, AddedTokensOverALineStartForbidIt) {
  const ScratchFolder scratch;
  for (const bool forbidden : {false, true}) {
    auto file = golden_json("gpt2");
    file["added_tokens"].push_back({{"id", 2000},
                                    {"content", forbidden ? "end\nBegin" : "end\n\n"},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", false}});
    const JsonTokenizer tokenizer(spit(scratch / "tokenizer.json", file.dump()));
    EXPECT_EQ(tokenizer.safe_prefix("one\nLine"), forbidden ? 0U : 4U);
  }
}

TEST(TokenizeFiles, GivesTheSameBytesForEveryNumberOfThreadsAndChunk) {
  const ScratchFolder scratch;
  std::string text;
  for (uint32_t seed = 0; seed < 40; ++seed)
    text += random_lines(seed, seed % 7 == 0 ? 100'000 : 1'000) + "<|end|>";
  const auto file = spit(scratch / "text.txt", text);
  for (const char* name : {"byte", "qwen2", "llama3", "llama2"}) {
    const auto tokenizer =
        make_tokenizer(std::string(name) == "byte" ? "byte" : golden_tokenizer(name).string());
    for (const char* document : {"file", "<|end|>"}) {
      std::string bin, idx;
      for (const int threads : {1, 3}) {
        for (const int64_t chunk : {int64_t{977}, int64_t{1} << 20}) {
          TokenizeOptions options{.document = parse_document_split(document), .existing = Existing::replace};
          options.threads = threads, options.chunk_bytes = chunk;
          const auto done = tokenize_files({&file, 1}, scratch / "out", *tokenizer, options);
          EXPECT_EQ(done.documents, document == std::string("file") ? 1 : 40);
          if (bin.empty()) bin = slurp(scratch / "out.bin"), idx = slurp(scratch / "out.idx");
          EXPECT_TRUE(slurp(scratch / "out.bin") == bin && slurp(scratch / "out.idx") == idx)
              << name << " " << threads;
        }
      }
      if (document == std::string("file")) {  // and they are the ids of the text as a whole
        auto whole = ids_of(*tokenizer, text);
        if (const auto begin = tokenizer->begin_of_document()) whole.insert(whole.begin(), *begin);
        if (const auto end = tokenizer->end_of_document()) whole.push_back(*end);
        EXPECT_TRUE(all_tokens(TokenFile(scratch / "out")) == whole) << name;
      }
    }
  }
}

}  // namespace
}  // namespace strata
