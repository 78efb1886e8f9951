// SPDX-License-Identifier: Apache-2.0
// GGUF files that are written: read again they are the same model, of every family; blocks are those of the
// formula, and of llama.cpp's own Python package where it is; vocabularies come back.
#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "checkpoint/adapters/gguf_blocks/block_format.h"
#include "checkpoint/adapters/gguf_content.h"
#include "checkpoint/adapters/gguf_description.h"
#include "checkpoint/adapters/gguf_model.h"
#include "checkpoint/adapters/gguf_names.h"
#include "checkpoint/adapters/gguf_rotary.h"
#include "checkpoint/adapters/gguf_sink.h"
#include "checkpoint/adapters/gguf_tokenizer.h"
#include "checkpoint/adapters/gguf_vocabulary.h"
#include "checkpoint/adapters/model_tensors.h"
#include "checkpoint/adapters/sentencepiece_pieces.h"
#include "checkpoint/convert.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/adapters/memory_source.h"
#include "tests/checkpoint/adapters/python.h"

namespace strata {
namespace {

using testing::HasSubstr;

// Numbers near one, whatever sample_bytes made of them.
class FloatSource : public MemorySource {
 public:
  using MemorySource::MemorySource;
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    const Shape& shape = tensors()[tensor].shape;
    std::vector<float> values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = std::sin(static_cast<float>(i * 7 + tensor * 13)) * (1.0F + static_cast<float>(i % 5));
    copy_rect(rect, Rect::whole(shape), reinterpret_cast<const std::byte*>(values.data()), rect, into, 4);
  }
};

struct Family {
  std::string name;
  ModelSpec spec;
};
std::vector<Family> families() {
  const ModelSpec plain{.arch = "llama",
                        .layers = 2,
                        .hidden = 64,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 16,
                        .ffn = 96,
                        .vocab = 40,
                        .max_positions = 128,
                        .norm_eps = 1e-5F,
                        .tied = false,
                        .rope = {.theta = 5e5}};
  ModelSpec scaled = plain, qwen2 = plain, qwen3 = plain, odd = plain, gpt2 = plain;
  scaled.rope = {.theta = 5e5,
                 .llama3_scaling = true,
                 .factor = 8,
                 .low_freq_factor = 1,
                 .high_freq_factor = 4,
                 .original_positions = 8192};
  qwen2.qkv_bias = true;
  qwen2.tied = true;
  qwen3.qk_norm = true;
  qwen3.head_dim = 32;  // not hidden / heads
  odd.hidden = 40;      // no whole blocks in a row
  odd.head_dim = 10;
  gpt2.arch = "gpt2";
  gpt2.kv_heads = 4;
  gpt2.tied = true;
  return {{"llama", plain}, {"llama", scaled}, {"mistral", plain}, {"qwen2", qwen2},
          {"qwen3", qwen3}, {"llama", odd},    {"gpt2", gpt2}};
}

FloatSource source_of(const ModelSpec& spec) {
  std::vector<TensorSpec> tensors;
  for (ModelTensor& tensor : model_tensors(spec))
    tensors.push_back({.name = tensor.name, .shape = tensor.shape});
  return FloatSource(std::move(tensors));
}

// As `strata convert` does it.
void write(FileSystem& files, const std::string& path, const TensorSource& source, const HfModel& model,
           GgufContentWish wish, const std::vector<Asset>& assets = {}) {
  GgufMapping mapping = to_gguf(model, source.tensors(), "memory");
  const RotaryOrderSource turned(source, std::move(mapping.head_rows), RotaryOrderSource::To::gguf);
  const MappedSource named(turned, std::move(mapping.tensors), nlohmann::json::object(), {});
  if (model.spec.rope.llama3_scaling)
    wish.rope_factors = llama3_rope_factors(model.spec.rope, model.spec.head_dim);
  const GgufContent content(named, wish);
  GgufSink::Options options{.in_blocks = content.in_blocks(), .piece_bytes = 600};
  describe_gguf_model(model, "test", wish.q8_0 ? GgufFileType::q8_0 : GgufFileType::f32, options.values);
  embed_gguf_vocabulary(assets, model.spec.vocab, options.values);
  GgufSink sink(files, path, options);
  WorkerPool pool(2);
  sink.declare({content.tensors().begin(), content.tensors().end()}, {}, {});
  const Conversion done = convert_tensors(content, sink, pool, nullptr);
  check_written(GgufSource(files, sink.finish()), content.tensors(), done.digests, 500, pool, nullptr);
  EXPECT_FALSE(files.info(path)) << "not before commit";
  sink.commit();
}

void expect_comes_back(const Family& family, bool blocks) {
  SCOPED_TRACE(fmt::format("{} hidden {} heads {} of {} ffn {} vocabulary {}{}", family.name,
                           family.spec.hidden, family.spec.heads, family.spec.head_dim, family.spec.ffn,
                           family.spec.vocab, blocks ? ", in blocks" : ""));
  MemoryFileSystem files;
  const FloatSource source = source_of(family.spec);
  write(files, "/x.gguf", source, {family.name, family.spec, {}}, {.q8_0 = blocks});
  EXPECT_FALSE(files.info("/x.gguf.partial"));
  const GgufSource file(files, "/x.gguf");
  const HfModel model = parse_gguf_model(file);
  EXPECT_EQ(model.family, family.name == "mistral" ? "llama" : family.name);
  EXPECT_EQ(model.spec.layers, family.spec.layers);
  EXPECT_EQ(model.spec.vocab, family.spec.vocab);
  EXPECT_EQ(model.spec.head_dim, family.spec.head_dim);
  EXPECT_EQ(model.spec.kv_heads, family.spec.kv_heads);
  EXPECT_EQ(model.spec.tied, family.spec.tied);
  EXPECT_EQ(model.spec.norm_eps, family.spec.norm_eps);
  EXPECT_EQ(model.spec.rope.llama3_scaling, family.spec.rope.llama3_scaling);
  if (family.spec.arch == "llama") {
    EXPECT_EQ(model.spec.rope.theta, family.spec.rope.theta);
  }
  GgufMapping mapping = from_gguf(model, file.tensors(), "x.gguf");
  const RotaryOrderSource ordered(file, std::move(mapping.head_rows));
  const MappedSource ours(ordered, std::move(mapping.tensors), {}, {});
  ASSERT_EQ(ours.tensors().size(), source.tensors().size());
  double most = 0;
  for (size_t t = 0; t < source.tensors().size(); ++t) {
    const TensorSpec& tensor = source.tensors()[t];
    const std::vector<std::byte> was = read_whole(source, t), is = whole_of(ours, tensor.name);
    if (is.size() < was.size()) {
      EXPECT_TRUE(blocks && tensor.shape[tensor.shape.rank() - 1] % 32 != 0) << tensor.name << " is f16";
      continue;
    }
    if (!blocks) {
      EXPECT_EQ(was, is) << tensor.name;
    }
    for (size_t i = 0; i < was.size(); i += 4) {
      float a = 0, b = 0;
      std::memcpy(&a, &was[i], 4);
      std::memcpy(&b, &is[i], 4);
      most = std::max(most, static_cast<double>(std::abs(a - b)));
    }
  }
  // Half a step of the largest block, whose numbers reach 5, and d's own rounding to a half.
  EXPECT_LE(most, 5.0 / 127 / 2 + 5.0 / 2048);
  if (blocks && family.spec.hidden % 32 == 0) {
    EXPECT_GT(most, 1e-3) << "nothing was rounded";
  }
}

TEST(GgufSink, EveryFamilyComesBackAsItWas) {
  for (const Family& family : families())
    for (const bool blocks : {false, true}) expect_comes_back(family, blocks);
}

TEST(GgufSink, RandomModelsComeBackAsTheyWere) {
  std::mt19937 random(20261127);
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  const std::vector<Family> all = families();
  for (int round = 0; round < 120; ++round) {
    Family family = all[static_cast<size_t>(draw(0, std::ssize(all) - 1))];
    ModelSpec& spec = family.spec;
    const bool gpt2 = spec.arch == "gpt2";
    spec.layers = draw(1, 3);
    spec.kv_heads = draw(1, 3);
    spec.heads = gpt2 ? spec.kv_heads : spec.kv_heads * draw(1, 3);
    // Three frequencies and fewer do not tell how they were scaled.
    spec.head_dim = 2 * draw(spec.rope.llama3_scaling ? 8 : 1, 20);
    spec.hidden = gpt2 ? spec.heads * spec.head_dim : draw(1, 70);
    spec.ffn = draw(1, 100);
    spec.vocab = draw(1, 70);
    spec.tied = gpt2 || draw(0, 1) == 1;
    expect_comes_back(family, round % 2 == 1);
  }
}

TEST(GgufSink, OtherTypesAndWhatIsThereAlready) {
  MemoryFileSystem files;
  const ModelSpec spec = families()[0].spec;
  const FloatSource source = source_of(spec);
  write(files, "/h.gguf", source, {"llama", spec, {}}, {.type = ElementType::f16});
  const GgufSource file(files, "/h.gguf");
  for (const TensorSpec& tensor : file.tensors())
    EXPECT_EQ(tensor.type, tensor.shape.rank() == 2 ? ElementType::f16 : ElementType::f32) << tensor.name;
  EXPECT_THROW(GgufSink(files, "/h.gguf", {}), Error);
  {  // one that was not finished leaves nothing
    GgufSink sink(files, "/y.gguf", {.in_blocks = {false}});
    sink.declare({{.name = "a", .shape = {4}}}, {}, {});
    EXPECT_TRUE(files.info("/y.gguf.partial"));
  }
  EXPECT_FALSE(files.info("/y.gguf.partial"));
  EXPECT_FALSE(files.info("/y.gguf"));
}

// Halves away from zero, scales of nothing, and that what was decoded encodes to the same.
TEST(GgufBlocks, Q8_0IsRoundedAsTheFormulaSays) {
  std::array<float, 32> x{}, y{};
  std::array<std::byte, 34> blocks{}, again{};
  ASSERT_TRUE(kBlockQ8_0.encode(x.data(), 1, blocks.data()));
  for (const std::byte b : blocks) EXPECT_EQ(b, std::byte{0});
  for (int i = 0; i < 32; ++i) x[static_cast<size_t>(i)] = 0.5F * static_cast<float>(i - 15);
  x[31] = 127;
  x[30] = -127;  // d = 1
  ASSERT_TRUE(kBlockQ8_0.encode(x.data(), 1, blocks.data()));
  for (int i = 0; i < 30; ++i) {
    const float half = x[static_cast<size_t>(i)];
    EXPECT_EQ(static_cast<int8_t>(blocks[static_cast<size_t>(2 + i)]),
              static_cast<int>(half + (half < 0 ? -0.5F : 0.5F)))
        << half;
  }
  for (int seed = 0; seed < 200; ++seed) {
    for (size_t i = 0; i < 32; ++i)
      x[i] = std::sin(static_cast<float>(seed * 32) + static_cast<float>(i) * 1.7F) *
             std::exp(static_cast<float>(seed % 40 - 25));
    ASSERT_TRUE(kBlockQ8_0.encode(x.data(), 1, blocks.data()));
    kBlockQ8_0.decode(blocks.data(), 1, y.data());
    ASSERT_TRUE(kBlockQ8_0.encode(y.data(), 1, again.data()));
    std::array<float, 32> z{};
    kBlockQ8_0.decode(again.data(), 1, z.data());
    EXPECT_EQ(y, z) << seed;
  }
  x[3] = 1e9F;
  EXPECT_FALSE(kBlockQ8_0.encode(x.data(), 1, blocks.data()));
}

nlohmann::json bpe_tokenizer() {
  return nlohmann::json::parse(R"({"added_tokens": [{"id": 5, "content": "<|end|>", "special": true},
      {"id": 6, "content": "<tool>", "special": false}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": ""}, "behavior":
      "Isolated", "invert": false}, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
      "use_regex": false}]},
    "post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}]},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġab": 4},
      "merges": [["a", "b"], "Ġ ab"]}})");
}

TEST(GgufVocabulary, ByteLevelBpeComesBack) {
  nlohmann::json tokenizer = bpe_tokenizer();
  MemoryFileSystem files;
  ModelSpec spec = families()[0].spec;
  spec.vocab = 8;
  const FloatSource source = source_of(spec);
  const auto written = [&](const std::string& path) {
    write(files, path, source, {"llama", spec, {}}, {},
          {{"tokenizer.json", tokenizer.dump()},
           {"tokenizer_config.json", R"({"eos_token": {"content": "<|end|>"},
              "chat_template": "{{ x }}"})"},
           {"config.json", R"({"bos_token_id": 5, "eos_token_id": 3})"}});
    return make_gguf_tokenizer(GgufSource(files, path));
  };
  // A pattern that has no name there: our reader says so, too.
  EXPECT_THAT(written("/a.gguf").note, HasSubstr("default"));
  tokenizer["normalizer"] = nullptr;
  tokenizer["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const GgufTokenizer back = written("/b.gguf");
  ASSERT_EQ(back.assets.size(), 2u) << back.note;
  const auto json = nlohmann::json::parse(back.assets[0].content);
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items())
    EXPECT_EQ(json["model"]["vocab"][token], id);
  EXPECT_EQ(json["model"]["merges"], (nlohmann::json{"a b", "Ġ ab"}));
  EXPECT_EQ(json["added_tokens"].size(), 2u);
  EXPECT_EQ(json["added_tokens"][0]["content"], "<|end|>");
  EXPECT_EQ(json["added_tokens"][0]["special"], true);
  EXPECT_EQ(json["added_tokens"][1]["special"], false);
  EXPECT_EQ(json["model"]["vocab"]["[PAD7]"], 7);
  EXPECT_THAT(json["post_processor"].dump(), HasSubstr("<|end|>")) << "begins every text";
  const GgufSource file(files, "/b.gguf");
  EXPECT_EQ(gguf_token_id(file, "bos"), 5);  // of config.json
  EXPECT_EQ(gguf_token_id(file, "eos"), 5);  // as it is spelled
  EXPECT_EQ(nlohmann::json::parse(back.assets[1].content)["chat_template"], "{{ x }}");
  spec.vocab = 6;
  EXPECT_THROW(written("/c.gguf"), Error);
}

// A field of a protobuf message.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
std::string piece(const std::string& text, float score, int type) {
  std::string inner = field(1, text) + static_cast<char>(2 << 3 | 5);
  inner.append(reinterpret_cast<const char*>(&score), 4);
  return field(1, inner + static_cast<char>(3 << 3) + static_cast<char>(type));
}

TEST(GgufVocabulary, SentencePieceIsEmbeddedWithItsScores) {
  const std::string model = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) +
                            piece("<0x0A>", 0, 6) + piece("\u2581a", -1.5F, 1) +
                            field(3, std::string{3 << 3, 0});
  const SentencePiecePieces pieces = read_sentencepiece_pieces(model, "m");
  EXPECT_THAT(pieces.texts, testing::ElementsAre("<unk>", "<s>", "</s>", "<0x0A>", "\u2581a"));
  EXPECT_THAT(pieces.types, testing::ElementsAre(2, 3, 3, 6, 1));
  EXPECT_EQ(pieces.scores[4], -1.5F);
  EXPECT_FALSE(pieces.add_dummy_prefix);
  for (size_t cut = 1; cut < model.size(); ++cut)  // refused, or reads in bounds
    try {
      read_sentencepiece_pieces(model.substr(0, cut), "m");
    } catch (const Error&) {
    }
  EXPECT_THROW(read_sentencepiece_pieces("\x0a\x7f", "m"), Error);
  MemoryFileSystem files;
  ModelSpec spec = families()[0].spec;
  spec.vocab = 7;
  write(files, "/x.gguf", source_of(spec), {"llama", spec, {}}, {},
        {{"tokenizer.model", model},
         {"tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})"}});
  const GgufSource file(files, "/x.gguf");
  EXPECT_THAT(file.texts("tokenizer.ggml.tokens", 100),
              testing::ElementsAre("<unk>", "<s>", "</s>", "<0x0A>", "\u2581a", "[PAD5]", "[PAD6]"));
  EXPECT_THAT(file.numbers("tokenizer.ggml.token_type", 100), testing::ElementsAre(2, 3, 3, 6, 1, 5, 5));
  EXPECT_EQ(gguf_token_id(file, "bos"), 1);
  EXPECT_EQ(gguf_token_id(file, "unknown"), 0);
  EXPECT_EQ(file.header().values["tokenizer.ggml.model"], "llama");
}

TEST(GgufInterop, TheirPackageReadsAndRoundsTheSame) {
  Python python;
  NEEDS(python.there());
  const auto files = make_posix_file_system();
  const TemporaryFolder folder;
  const Family family = families()[1];
  const FloatSource source = source_of(family.spec);
  for (const bool blocks : {false, true})
    write(*files, folder.path() + (blocks ? "/q.gguf" : "/f.gguf"), source, {family.name, family.spec, {}},
          {.q8_0 = blocks});
  const auto said = python.run("gguf_test.py", folder.path() + "/f.gguf " + folder.path() + "/q.gguf", {});
  NEEDS(said.has_value());
  EXPECT_EQ((*said)["tensors"], source.tensors().size() + 1);
  EXPECT_EQ((*said)["blocks"], 16);
  EXPECT_EQ((*said)["differ"], nlohmann::json::array());
  EXPECT_EQ((*said)["values"]["llama.attention.head_count_kv"], 2);
}

}  // namespace
}  // namespace strata
