// SPDX-License-Identifier: Apache-2.0
// strata convert, inspect, verify and diff with models of Hugging Face, as users run them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/launch/convert_fixture.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST_F(ConvertTest, ThereAndBackIsTheSame) {
  write_model("model", MemorySource(tensors()));
  const Outcome there = run("convert model ours");
  ASSERT_EQ(there.code, 0) << there.err;
  EXPECT_THAT(there.out, HasSubstr("llama: 1 layers of 8, 300 entries"));
  EXPECT_THAT(there.out, HasSubstr("every digest is the same"));
  EXPECT_EQ(run("verify ours").code, 0);
  EXPECT_EQ(run("convert ours back").code, 0);
  EXPECT_EQ(contents("back"), contents("model"));
  EXPECT_EQ(read("back/config.json"), kConfig);
  EXPECT_EQ(read("back/tokenizer.json"), "{}");
  const Outcome same = run("diff model ours");
  EXPECT_EQ(same.code, 0) << same.out;
  EXPECT_THAT(same.out, HasSubstr("11 tensors are the same, 0 differ"));
  EXPECT_THAT(run("inspect model").out, HasSubstr("model       llama"));
  EXPECT_THAT(run("verify model").out, HasSubstr("complete"));
}

// Two models of which one number differs: by how much, and in which direction all together.
TEST_F(ConvertTest, NumbersApart) {
  MemorySource a(tensors()), b(tensors());
  const auto norm = [](float first) {
    std::vector<float> values(8, 1.0f);
    values[0] = first;
    const auto* const bytes = reinterpret_cast<const std::byte*>(values.data());
    return std::vector<std::byte>(bytes, bytes + values.size() * sizeof(float));
  };
  a.set("model.norm.weight", norm(1));
  b.set("model.norm.weight", norm(3));
  write_model("a", a);
  write_model("b", b);
  const Outcome differ = run("diff --numbers a b");
  EXPECT_EQ(differ.code, 1);
  // (7 + 3) / sqrt(8 (7 + 9)), 2 / sqrt(8)
  EXPECT_THAT(differ.out, HasSubstr("cosine 0.883883, apart by 0.707 of its length, elements by 2 at most, "
                                    "1 of 8 differ"));
  EXPECT_THAT(differ.out, HasSubstr("10 tensors are the same, 1 differ"));
  EXPECT_THAT(run("diff a b").out, HasSubstr("has other values"));
}

TEST_F(ConvertTest, ADryRunWritesNothing) {
  write_model("model", MemorySource(tensors()));
  const Outcome dry = run("convert model ours --dry-run");
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("layers.0.attention.query.weight (param) f32 [8, 8]"));
  EXPECT_FALSE(std::filesystem::exists(at("ours")));
  EXPECT_FALSE(std::filesystem::exists(at("ours.partial")));
}

TEST_F(ConvertTest, WeightsAreRounded) {
  write_model("model", MemorySource(tensors()));
  // sample_bytes are any bits: some are NaN, none of these may become a number.
  ASSERT_EQ(run("convert model half --to hf --dtype bf16").code, 0) << read(".err");
  EXPECT_THAT(read("half/config.json"), HasSubstr("\"torch_dtype\": \"bfloat16\""));
  EXPECT_THAT(read("half/config.json"), HasSubstr("of_no_interest"));
  const auto whole = contents("model"), half = contents("half");
  ASSERT_EQ(whole.size(), half.size());
  for (const auto& [name, bytes] : whole) {
    std::string turned = name;
    turned.replace(turned.find("f32"), 3, "bf16");
    ASSERT_TRUE(half.contains(turned)) << turned;
    for (size_t i = 0; i < bytes.size() / 4; ++i) {
      float value, got;
      uint16_t bits;
      std::memcpy(&value, &bytes[4 * i], 4);
      std::memcpy(&bits, &half.at(turned)[2 * i], 2);
      const uint32_t widened = static_cast<uint32_t>(bits) << 16;
      std::memcpy(&got, &widened, 4);
      if (std::isnan(value))
        EXPECT_TRUE(std::isnan(got));
      else
        EXPECT_LE(std::abs(static_cast<double>(got) - static_cast<double>(value)),
                  std::abs(static_cast<double>(value)) / 256 + 1e-40)
            << name;
    }
  }
}

TEST_F(ConvertTest, ATiedMatrixThatWasStoredTwiceMustAgree) {
  write_model("model", MemorySource(tensors(true)));
  const Outcome differ = run("convert model ours");
  EXPECT_EQ(differ.code, 4);
  EXPECT_THAT(differ.err, HasSubstr("two tensors that the configuration ties are not the same"));
  EXPECT_FALSE(std::filesystem::exists(at("ours")));
  std::string untied = kConfig;
  untied.replace(untied.find("true"), 4, "false");
  std::ofstream(at("model/config.json")) << untied;
  EXPECT_EQ(run("convert model ours").code, 0);
}

// A file in place of a folder, chosen by its name; what is read from it is the model again.
TEST_F(ConvertTest, GgufFilesAreWritten) {
  write_model("model", MemorySource(tensors()));
  const Outcome wrote = run("convert model m.gguf --dtype keep");
  ASSERT_EQ(wrote.code, 0) << wrote.err;
  EXPECT_NE(wrote.out.find("to        m.gguf: gguf, 11 tensors"), std::string::npos) << wrote.out;
  EXPECT_NE(wrote.out.find("note      its tokenizer is not taken along"), std::string::npos) << wrote.out;
  EXPECT_EQ(run("diff model m.gguf").code, 0) << read(".out");
  const Outcome blocks = run("convert model hf --to hf --dtype q8_0");
  EXPECT_EQ(blocks.code, 2);
  EXPECT_NE(blocks.err.find("for GGUF files alone"), std::string::npos) << blocks.err;
  EXPECT_EQ(run("convert model m.gguf").code, 2) << "it is there already";
}

TEST_F(ConvertTest, WhatCannotBeDoneIsSaid) {
  write_model("model", MemorySource(tensors()));
  EXPECT_THAT(run("convert nothing ours").err, HasSubstr("there is no checkpoint here"));
  EXPECT_THAT(run("convert model model").err, HasSubstr("is there already"));
  EXPECT_THAT(run("convert model ours --memory 1").err, HasSubstr("at least 256"));
  EXPECT_EQ(run("convert model ours --to onnx").code, 2);
  EXPECT_EQ(run("convert model ours --threads -1").code, 2);
  std::filesystem::remove(at("model/config.json"));
  EXPECT_THAT(run("convert model there --to hf").err,
              HasSubstr("no model of Hugging Face can be made of this"));
  EXPECT_EQ(run("convert model there --to safetensors").code, 0);
  std::ofstream(at("model/config.json")) << R"({"model_type": "mamba"})";
  EXPECT_THAT(run("convert model ours").err, HasSubstr("one of llama, qwen2, qwen3, mistral, gpt2"));
  std::ofstream(at("model/config.json")) << std::string(100000, '[');
  EXPECT_THAT(run("convert model ours").err, HasSubstr("levels"));
  std::filesystem::remove(at("model/config.json"));
  std::filesystem::create_symlink("/etc/hostname", at("model/config.json"));
  EXPECT_THAT(run("convert model ours").err, HasSubstr("symbolic link"));
  EXPECT_FALSE(std::filesystem::exists(at("ours")));
}

}  // namespace
}  // namespace strata
