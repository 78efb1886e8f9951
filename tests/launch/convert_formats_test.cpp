// SPDX-License-Identifier: Apache-2.0
// strata convert between Strata and the formats of PyTorch DCP and DeepSpeed, and what users may let through.
#include <gmock/gmock.h>

#include "checkpoint/strata_source.h"
#include "tests/launch/convert_fixture.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::Not;

// By name and state: digests, which do not depend on how tensors are cut.
std::map<std::string, Digest> digests(const std::string& path) {
  const auto files = make_posix_file_system();
  const StrataSource source(*files, path);
  std::map<std::string, Digest> all;
  for (size_t t = 0; t < source.tensors().size(); ++t)
    all[to_string(source.tensors()[t])] = source.stored_digest(t).value();
  return all;
}

class ConvertFormats : public ConvertTest {
 protected:
  // A checkpoint of ours with moments and a step.
  void write_ours() const {
    write_model("model", MemorySource(tensors()));
    ASSERT_EQ(run("convert model weights").code, 0);
    const auto files = make_posix_file_system();
    const StrataSource weights(*files, at("weights"));
    std::vector<TensorSpec> all;
    for (const TensorSpec& tensor : weights.tensors()) {
      all.push_back(tensor);
      for (const char* state : {"m", "v"}) {
        all.push_back(tensor);
        all.back().state = state;
        all.back().role = "";
      }
    }
    const MemorySource source(all);
    StrataSink sink(*files, at("ours"), {.step = 12, .piece_bytes = 700});
    nlohmann::json metadata = weights.metadata();
    metadata["step"] = 12;
    sink.declare(all, metadata, weights.assets());
    WorkerPool pool(1);
    convert_tensors(source, sink, pool, nullptr);
    sink.commit();
  }
};

TEST_F(ConvertFormats, ThereAndBackWithMoments) {
  write_ours();
  const auto want = digests(at("ours"));
  for (const char* format : {"dcp", "universal"})
    for (const char* names : {"hf", "ours"}) {
      const std::string there = fmt::format("{}-{}", format, names);
      const Outcome out = run(fmt::format("convert ours {} --to {} --names {}", there, format, names));
      ASSERT_EQ(out.code, 0) << out.err;
      EXPECT_THAT(out.out, HasSubstr("33 tensors"));
      EXPECT_THAT(out.out, HasSubstr("every digest is the same"));
      EXPECT_THAT(out.out, Not(HasSubstr("dropped")));
      const Outcome listed = run("inspect " + there);
      EXPECT_THAT(listed.out,
                  HasSubstr(format == std::string("dcp") ? "PyTorch DCP" : "DeepSpeed universal"));
      const Outcome back = run(fmt::format("convert {} {}-back", there, there));
      ASSERT_EQ(back.code, 0) << back.err;
      EXPECT_EQ(digests(at(there + "-back")), want) << there;
      const auto files = make_posix_file_system();
      EXPECT_EQ(StrataSource(*files, at(there + "-back")).metadata().value("step", 0), 12) << there;
    }
}

TEST_F(ConvertFormats, WhatIsMissingMustBeAllowed) {
  std::vector<TensorSpec> cut = tensors();
  std::erase_if(cut, [](const TensorSpec& t) { return t.name == "model.norm.weight"; });
  write_model("model", MemorySource(cut));
  EXPECT_THAT(run("convert model ours").err, HasSubstr("missing    model.norm.weight [8]"));
  EXPECT_THAT(run("convert model ours --allow-missing final_norm.weight --allow-missing head*").err,
              HasSubstr("allow-missing 'head*' applies to nothing"));
  const Outcome allowed = run("convert model ours --allow-missing final_norm.weight");
  ASSERT_EQ(allowed.code, 0) << allowed.err;
  EXPECT_THAT(allowed.out, HasSubstr("final_norm.weight [8]: missing, as was allowed"));
  EXPECT_EQ(digests(at("ours")).size(), cut.size());
  EXPECT_THAT(run("convert ours back").err, HasSubstr("missing    final_norm.weight"));
  EXPECT_EQ(run("convert ours back --allow-missing final_norm.weight").code, 0);
  EXPECT_EQ(contents("back"), contents("model"));
}

TEST_F(ConvertFormats, TensorsAreTakenForOthersOrLeftOut) {
  std::vector<TensorSpec> other = tensors();
  for (TensorSpec& tensor : other)
    if (tensor.name == "model.norm.weight") tensor.name = "model.last.weight";
  write_model("model", MemorySource(other));
  EXPECT_THAT(run("convert model ours").err, HasSubstr("extra      model.last.weight"));
  EXPECT_THAT(run("convert model ours --rename model.first.weight=model.norm.weight").err,
              HasSubstr("a tensor to rename is not there"));
  EXPECT_EQ(run("convert model ours --rename model.last.weight").code, 2);
  ASSERT_EQ(run("convert model ours --rename model.last.weight=model.norm.weight").code, 0);
  EXPECT_EQ(digests(at("ours")).size(), other.size());
  const Outcome left = run("convert ours rest --to strata --reinit 'layers.0.mlp*'");
  ASSERT_EQ(left.code, 0) << left.err;
  EXPECT_THAT(left.out, HasSubstr("layers.0.mlp.up.weight (param) f32 [12, 8]: left out"));
  EXPECT_EQ(digests(at("rest")).size(), other.size() - 4);  // mlp_norm begins so, too
  EXPECT_EQ(run("convert ours none --to strata --reinit nothing").code, 2);
}

TEST_F(ConvertFormats, MegatronIsUnderstoodWithoutAMap) {
  const std::string golden = std::string(STRATA_SOURCE_DIR) + "/tests/golden/megatron/";
  const Outcome dist = run(fmt::format("convert '{}torch_dist' dist", golden));
  ASSERT_EQ(dist.code, 0) << dist.err;
  EXPECT_THAT(dist.out, HasSubstr("llama: 4 layers of 8, 13 entries"));
  const Outcome legacy = run(fmt::format("convert '{}legacy' legacy", golden));
  ASSERT_EQ(legacy.code, 0) << legacy.err;
  const auto all = digests(at("dist")), weights = digests(at("legacy"));
  EXPECT_EQ(all.size(), 3 * weights.size());
  for (const auto& [name, digest] : weights) EXPECT_EQ(all.at(name), digest) << name;
  // And written: an iteration's folder, and the file that names it.
  const Outcome written = run("convert dist meg --to megatron");
  ASSERT_EQ(written.code, 0) << written.err;
  EXPECT_EQ(run("convert dist meg --to megatron").code, 2) << "it is there already";
  EXPECT_THAT(run("inspect meg/iter_0000003").out, HasSubstr("llama"));
  ASSERT_EQ(run("convert meg again").code, 0) << read(".err");
  EXPECT_EQ(digests(at("again")), all);
  EXPECT_EQ(run("convert dist hf").code, 0);
  EXPECT_THAT(run("inspect hf").out, HasSubstr("model       llama"));
}

}  // namespace
}  // namespace strata
