// SPDX-License-Identifier: Apache-2.0
// A SentencePiece model that went into a GGUF file and came back cuts text as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/adapters/gguf_sink.h"
#include "checkpoint/adapters/gguf_tokenizer.h"
#include "checkpoint/adapters/gguf_vocabulary.h"
#include "checkpoint/adapters/sentencepiece_pieces.h"
#include "core/data/tokenizer.h"
#include "core/io/memory_file_system.h"
#include "tests/core/data/scratch.h"

namespace strata {
namespace {

const std::filesystem::path kModels = std::filesystem::path(STRATA_SOURCE_DIR) / "tests/golden/sentencepiece";

// A file of one tensor with these values in front.
void write_gguf(FileSystem& files, GgufValues values) {
  GgufSink sink(files, "/x.gguf", {.values = std::move(values), .in_blocks = {false}});
  const std::array<float, 4> zeros{};
  sink.declare({{.name = "a", .type = ElementType::f32, .shape = {4}}}, {}, {});
  sink.write(0, Rect::whole({4}), std::as_bytes(std::span(zeros)));
  sink.finish();
  sink.commit();
}

std::string content_of(const std::vector<Asset>& assets, const char* name) {
  for (const Asset& asset : assets)
    if (asset.name == name) return asset.content;
  ADD_FAILURE() << "no " << name;
  return "";
}

TEST(GgufPieces, CutTextAsBefore) {
  MemoryFileSystem files;
  GgufValues values;
  const std::string config = R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})";
  EXPECT_EQ(embed_gguf_vocabulary(
                {{"tokenizer.model", slurp(kModels / "bpe.model")}, {"tokenizer_config.json", config}}, 704,
                values),
            "");
  write_gguf(files, std::move(values));
  const GgufTokenizer back = make_gguf_tokenizer(GgufSource(files, "/x.gguf"));
  EXPECT_EQ(back.note, "");
  const auto said = nlohmann::json::parse(content_of(back.assets, "tokenizer_config.json"));
  EXPECT_EQ(said["bos_token"], "<s>");
  EXPECT_EQ(said["tokenizer_class"], "LlamaTokenizer");

  const ScratchFolder scratch;
  const auto tokenizer =
      make_tokenizer(spit(scratch / "tokenizer.model", content_of(back.assets, "tokenizer.model")).string());
  EXPECT_EQ(tokenizer->vocab_size(), 704);  // the rows of the embedding that no piece has, too
  EXPECT_EQ(tokenizer->begin_of_text(), 1);
  EXPECT_EQ(tokenizer->end_of_text(), 2);
  const auto golden = nlohmann::json::parse(slurp(kModels / "expected.json"));
  for (size_t i = 0; i < golden["texts"].size(); ++i) {
    std::vector<int32_t> ids;
    tokenizer->encode(golden["texts"][i].get<std::string>(), ids);
    EXPECT_EQ(ids, golden["models"]["bpe"]["ids"][i].get<std::vector<int32_t>>()) << golden["texts"][i];
    std::string decoded;
    tokenizer->decode(ids, decoded);
    EXPECT_EQ(decoded, golden["models"]["bpe"]["decoded"][i].get<std::string>());
  }
}

std::string fault_of_pieces(const std::vector<std::string>& tokens, const std::vector<float>& scores,
                            const std::vector<int32_t>& types) {
  MemoryFileSystem files;
  GgufValues values;
  values.text("tokenizer.ggml.model", "llama");
  values.texts("tokenizer.ggml.tokens", tokens);
  values.f32s("tokenizer.ggml.scores", scores);
  values.i32s("tokenizer.ggml.token_type", types);
  write_gguf(files, std::move(values));
  try {
    const GgufTokenizer made = make_gguf_tokenizer(GgufSource(files, "/x.gguf"));
    EXPECT_EQ(made.assets.empty(), !made.note.empty());
    return made.note;
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::model);
    return error.what();
  }
}

TEST(GgufPieces, DamagedOnesAreRefused) {
  using testing::HasSubstr;
  EXPECT_EQ(fault_of_pieces({"<unk>", "a"}, {0, -1}, {2, 1}), "");
  EXPECT_THAT(fault_of_pieces({"<unk>", "a"}, {0}, {2, 1}), HasSubstr("1 scores"));
  EXPECT_THAT(fault_of_pieces({"<unk>", "a"}, {0, -1}, {2}), HasSubstr("1 kinds of 2"));
  EXPECT_THAT(fault_of_pieces({"<unk>", "a"}, {0, -1}, {2, 7}), HasSubstr("kind 7"));
}

// What llama.cpp takes and the library does not: the weights are of use without it.
TEST(GgufPieces, OthersAreLeftOutWithANote) {
  using testing::HasSubstr;
  const auto left_out = HasSubstr("not taken along");
  EXPECT_THAT(fault_of_pieces({"<unk>", "a"}, {}, {2, 1}), left_out);
  EXPECT_THAT(fault_of_pieces({"<unk>", "a"}, {0, -1}, {}), left_out);
  EXPECT_THAT(fault_of_pieces({"<unk>", "<unk>"}, {0, -1}, {2, 1}), left_out);
  EXPECT_THAT(fault_of_pieces({"<unk>", ""}, {0, -1}, {2, 1}), left_out);
  EXPECT_THAT(fault_of_pieces({"b", "a"}, {0, -1}, {1, 1}), left_out);
}

}  // namespace
}  // namespace strata
