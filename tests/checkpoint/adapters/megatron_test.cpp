// SPDX-License-Identifier: Apache-2.0
// A model that megatron-core saved from two tensor-parallel ranks of two stages, in both formats, is what
// Megatron itself loads into one process and cuts for its attention. tests/golden/make_megatron.py made the
// files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/adapters/dcp_sink.h"
#include "checkpoint/adapters/dcp_source.h"
#include "checkpoint/adapters/megatron_model.h"
#include "checkpoint/adapters/megatron_names.h"
#include "checkpoint/adapters/megatron_source.h"
#include "checkpoint/convert.h"
#include "core/base/error.h"
#include "core/io/memory_file_system.h"
#include "tests/checkpoint/adapters/python.h"

namespace strata {
namespace {

using testing::HasSubstr;

const std::string kMegatronGolden = std::string(STRATA_SOURCE_DIR) + "/tests/golden/megatron";

// Where the golden file has one of our tensors.
std::string their_name(const TensorSpec& tensor) {
  static const std::map<std::string, std::string> kNames = {
      {"embedding", "embedding.word_embeddings.weight "},
      {"final_norm", "decoder.final_layernorm.weight "},
      {"head", "output_layer.weight "},
      {"attention_norm", "input_layernorm.weight "},
      {"attention.query", "self_attention.linear_qkv.weight q"},
      {"attention.key", "self_attention.linear_qkv.weight k"},
      {"attention.value", "self_attention.linear_qkv.weight v"},
      {"attention.output", "self_attention.linear_proj.weight "},
      {"mlp_norm", "pre_mlp_layernorm.weight "},
      {"mlp.gate", "mlp.linear_fc1.weight gate"},
      {"mlp.up", "mlp.linear_fc1.weight up"},
      {"mlp.down", "mlp.linear_fc2.weight "}};
  std::string name = tensor.name.substr(0, tensor.name.rfind('.')), layer;
  if (name.starts_with("layers.")) {
    layer = "decoder." + name.substr(0, 9);
    name.erase(0, 9);
  }
  return layer + kNames.at(name) + " " + tensor.state;
}

void expect_golden(const TensorSource& source, const HfModel& model, size_t states) {
  const auto files = make_posix_file_system();
  const auto want = nlohmann::json::parse(read_file(*files, kMegatronGolden + ".json"));
  EXPECT_EQ(model.family, "llama");
  EXPECT_EQ(model.spec.vocab, 13);
  const HfMapping mapping = from_megatron(model, source.tensors(), source.path());
  const MappedSource ours(source, mapping.tensors, {}, {});
  EXPECT_EQ(ours.tensors().size(), want.size() / 3 * states);
  for (size_t t = 0; t < ours.tensors().size(); ++t) {
    const std::string name = their_name(ours.tensors()[t]);
    ASSERT_TRUE(want.contains(name)) << name;
    EXPECT_EQ(hex(read_whole(ours, t)), want[name]["bytes"]) << to_string(ours.tensors()[t]);
  }
}

TEST(Megatron, TorchDistIsReadWithItsMoments) {
  const auto files = make_posix_file_system();
  const DcpSource source(*files, kMegatronGolden + "/torch_dist");
  ASSERT_TRUE(has_megatron_names(source.tensors()));
  expect_golden(source, megatron_model(*files, kMegatronGolden + "/torch_dist").value(), 3);
}

// Our tensors of the golden model once more in Megatron's form: its tensors, but for rows of padding.
TEST(Megatron, TorchDistIsWrittenAsItWasRead) {
  const auto files = make_posix_file_system();
  const DcpSource source(*files, kMegatronGolden + "/torch_dist");
  const HfModel model = megatron_model(*files, kMegatronGolden + "/torch_dist").value();
  const MappedSource ours(source, from_megatron(model, source.tensors(), source.path()).tensors, {}, {});
  const MappedSource theirs(ours, to_megatron(model, ours.tensors(), ours.path()), {}, {});
  MemoryFileSystem memory;
  {
    DcpSink sink(memory, "/written",
                 {.piece_bytes = 100, .plain_keys = true, .objects = make_megatron_extra_states(model.spec)});
    const auto tensors = theirs.tensors();
    sink.declare({tensors.begin(), tensors.end()}, {}, make_megatron_files(model.spec, 3));
    WorkerPool pool(2);
    convert_tensors(theirs, sink, pool, nullptr);
    sink.commit();
  }
  const DcpSource written(memory, "/written");
  EXPECT_EQ(written.metadata()["values"], source.metadata()["values"]);
  EXPECT_EQ(written.tensors().size(), source.tensors().size());
  std::map<std::string, size_t> there;
  for (size_t t = 0; t < source.tensors().size(); ++t) there[source.tensors()[t].name] = t;
  for (size_t t = 0; t < written.tensors().size(); ++t) {
    const TensorSpec& tensor = written.tensors()[t];
    ASSERT_TRUE(there.contains(tensor.name)) << tensor.name;
    const std::string whole = hex(read_whole(source, there[tensor.name])), part = hex(read_whole(written, t));
    EXPECT_EQ(part, whole.substr(0, part.size())) << tensor.name;
    if (source.tensors()[there[tensor.name]].shape[0] != 16) {
      EXPECT_EQ(part.size(), whole.size()) << tensor.name;
    }
  }
  // The arguments are those of the same model.
  EXPECT_EQ(read_file(memory, "/written/metadata.json"),
            read_file(*files, kMegatronGolden + "/torch_dist/metadata.json"));
  const HfModel again = megatron_model(memory, "/written").value();
  EXPECT_EQ(again.family, model.family);
  EXPECT_EQ(make_hf_config(again.spec, ElementType::f32), make_hf_config(model.spec, ElementType::f32));
  expect_golden(written, again, 3);
}

TEST(Megatron, LegacyPartsAreJoined) {
  const auto files = make_posix_file_system();
  const std::string folder = megatron_folder(*files, kMegatronGolden + "/legacy");
  EXPECT_EQ(folder, kMegatronGolden + "/legacy/iter_0000003");
  ASSERT_TRUE(MegatronSource::recognises(*files, folder));
  const MegatronSource source(*files, folder);
  EXPECT_EQ(source.format(), "Megatron, 2 x 2 parts");
  EXPECT_EQ(source.metadata()["step"], 3);
  expect_golden(source, source.model().value(), 1);
}

TEST(Megatron, WhatDoesNotFitIsRefused) {
  const auto real = make_posix_file_system();
  const auto fault = [&](const std::string& without, const std::string& from, const std::string& to) {
    MemoryFileSystem files;
    files.make_directory("/c");
    for (const char* place : {"mp_rank_00_000", "mp_rank_00_001", "mp_rank_01_000", "mp_rank_01_001"}) {
      if (place == without) continue;
      files.make_directory(fmt::format("/c/{}", place));
      std::string content = read_file(
          *real, fmt::format("{}/legacy/iter_0000003/{}/model_optim_rng.pt", kMegatronGolden, place));
      for (size_t at = 0; !from.empty() && (at = content.find(from, at)) != std::string::npos;
           at += from.size())
        content.replace(at, from.size(), to);
      files.open(fmt::format("/c/{}/model_optim_rng.pt", place), OpenMode::create)
          ->write(0, std::as_bytes(std::span(content)));
    }
    try {
      const MegatronSource source(files, "/c");
      from_megatron(source.model().value(), source.tensors(), "/c");
      return std::string();
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(fault("", "", ""), "");
  EXPECT_THAT(fault("mp_rank_01_000", "", ""), HasSubstr("3 folders mp_rank_*"));
  EXPECT_THAT(fault("mp_rank_01_001", "", ""), HasSubstr("3 folders mp_rank_*"));
  EXPECT_THAT(fault("", "decoder.final_layernorm", "decoder.finer_layernorm"),
              testing::AllOf(HasSubstr("missing    decoder.final_layernorm.weight"),
                             HasSubstr("extra      decoder.finer_layernorm.weight")));
  EXPECT_THAT(fault("", "decoder.layers.1.", "decoder.layers.x."), HasSubstr("a layer's number"));
  EXPECT_THAT(fault("", "RMSNorm", "BMSNorm"), HasSubstr("all as in Llama, or all as in GPT-2"));
}

}  // namespace
}  // namespace strata
