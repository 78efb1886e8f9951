// SPDX-License-Identifier: Apache-2.0
// Weights of 8 bits with factors for blocks, read and written, against the table of e4m3 and the definition
// in double precision; and torch, where there is one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "checkpoint/adapters/quantized_source.h"
#include "checkpoint/adapters/safetensors_sink.h"
#include "checkpoint/adapters/safetensors_source.h"
#include "checkpoint/adapters/scaled_source.h"
#include "checkpoint/convert.h"
#include "core/base/error.h"
#include "core/tensor/bf16.h"
#include "tests/checkpoint/adapters/memory_source.h"
#include "tests/checkpoint/adapters/python.h"
#include "tests/support/reference_quantize.h"

namespace strata {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const Shape kShapes[] = {{1, 1}, {128, 128}, {130, 257}, {3, 1000}, {300, 5}};

template <typename T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}
template <typename T>
std::vector<T> values_of(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Gaussian weights of many magnitudes, some zero.
std::vector<float> weights(const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(shape.numel()));
  for (float& value : values) value = std::ldexp(normal(random), -static_cast<int>(random() % 12));
  for (size_t i = 0; i < values.size(); i += 17) values[i] = 0;
  return values;
}
reference::Matrix matrix_of(const std::vector<float>& values, const Shape& shape) {
  reference::Matrix matrix(shape[0], shape[1]);
  for (int64_t r = 0; r < shape[0]; ++r)
    for (int64_t c = 0; c < shape[1]; ++c)
      matrix(r, c) = static_cast<double>(values[static_cast<size_t>(r * shape[1] + c)]);
  return matrix;
}

// Read in pieces that begin and end anywhere, columns before rows.
std::vector<std::byte> read_in_parts(const TensorSource& source, size_t t, int64_t rows, int64_t columns) {
  const TensorSpec& tensor = source.tensors()[t];
  const int64_t size = size_of(tensor.type);
  std::vector<std::byte> turned(static_cast<size_t>(tensor.bytes())), bytes = turned;
  for (int64_t r = 0; r < tensor.shape[0]; r += rows)
    for (int64_t c = 0; c < tensor.shape[1]; c += columns) {
      const Rect part{{r, c}, {std::min(rows, tensor.shape[0] - r), std::min(columns, tensor.shape[1] - c)}};
      StridedTarget target{.data = turned.data() + (c * tensor.shape[0] + r) * size};
      target.strides[0] = size;
      target.strides[1] = size * tensor.shape[0];
      source.read(t, part, target);
    }
  for (int64_t r = 0; r < tensor.shape[0]; ++r)
    for (int64_t c = 0; c < tensor.shape[1]; ++c)
      std::memcpy(&bytes[static_cast<size_t>((r * tensor.shape[1] + c) * size)],
                  &turned[static_cast<size_t>((c * tensor.shape[0] + r) * size)], static_cast<size_t>(size));
  return bytes;
}

TEST(Fp8Weights, AreCodeTimesFactor) {
  const reference::Fp8Table table(Fp8Format::e4m3);
  for (const Shape& shape : kShapes)
    for (const ScaledBlocks& blocks : {ScaledBlocks{}, ScaledBlocks{.rows = 3, .columns = 50}})
      for (const ElementType type : {ElementType::f32, ElementType::bf16}) {
        MemorySource stored({{.name = "w", .type = ElementType::f8_e4m3, .shape = shape},
                             {.name = "norm", .type = ElementType::bf16, .shape = {7}},
                             {.name = "w_scale_inv", .type = type, .shape = blocks.factors(shape)}});
        std::vector<float> factors = weights(blocks.factors(shape), 3);
        std::vector<uint16_t> halves;
        for (float& factor : factors) {
          halves.push_back(to_bf16(factor).bits);
          if (type == ElementType::bf16) factor = to_float(to_bf16(factor));
        }
        stored.set("w_scale_inv", type == ElementType::bf16 ? bytes_of(halves) : bytes_of(factors));
        const ScaledSource source(stored, blocks);
        ASSERT_EQ(source.tensors().size(), 2u);
        EXPECT_EQ(source.tensors()[0], (TensorSpec{.name = "w", .shape = shape}));
        const auto codes = stored.whole("w");
        const auto got = values_of<float>(read_whole(source, 0));
        const int64_t across = blocks.factors(shape)[1];
        for (int64_t i = 0; i < shape.numel(); ++i) {
          const int64_t block = i / shape[1] / blocks.rows * across + i % shape[1] / blocks.columns;
          const double code = table.value(static_cast<int>(codes[static_cast<size_t>(i)]));
          const auto expected =
              static_cast<float>(code * static_cast<double>(factors[static_cast<size_t>(block)]));
          const float value = got[static_cast<size_t>(i)];
          ASSERT_TRUE(value == expected || (std::isnan(value) && std::isnan(code)))
              << to_string(shape) << " " << i;
        }
        EXPECT_EQ(read_in_parts(source, 0, 37, 91), bytes_of(got));
        EXPECT_EQ(read_whole(source, 1), stored.whole("norm"));
      }
}

TEST(Fp8Weights, AreQuantizedAsTheRecipeDoes) {
  for (const Shape& shape : kShapes)
    for (const ScaleKind kind : {ScaleKind::pow2, ScaleKind::f32}) {
      MemorySource plain({{.name = "norm", .shape = {7}}, {.name = "w", .shape = shape}});
      const std::vector<float> values = weights(shape, 5);
      plain.set("w", bytes_of(values));
      const QuantizedSource source(plain, {false, true}, kind);
      ASSERT_EQ(source.tensors().size(), 3u);
      EXPECT_EQ(source.tensors()[2].name, "w_scale_inv");
      const auto expected =
          reference::quantize(matrix_of(values, shape), Fp8Format::e4m3, ScaleShape::block, kind);
      const auto codes = read_whole(source, 1);
      for (size_t i = 0; i < codes.size(); ++i)
        ASSERT_EQ(static_cast<int>(codes[i]), expected.codes[i]) << to_string(shape) << " " << i;
      const auto factors = values_of<float>(read_whole(source, 2));
      for (int64_t r = 0; r < expected.scales.rows; ++r)
        for (int64_t c = 0; c < expected.scales.cols; ++c)
          ASSERT_EQ(static_cast<double>(factors[static_cast<size_t>(r * expected.scales.cols + c)]),
                    expected.scales(r, c));
      EXPECT_EQ(read_in_parts(source, 1, 50, 131), codes);
      EXPECT_EQ(read_in_parts(source, 2, 1, 2), bytes_of(factors));
      EXPECT_EQ(read_whole(source, 0), plain.whole("norm"));
    }
}

// With powers of two, numbers that went through 8 bits once stay what they are.
TEST(Fp8Weights, ThereAndBackAgainChangesNothing) {
  const Shape shape{300, 257};
  for (const ScaleKind kind : {ScaleKind::pow2, ScaleKind::f32}) {
    MemorySource plain({{.name = "w", .shape = shape}});
    plain.set("w", bytes_of(weights(shape, 7)));
    const QuantizedSource codes(plain, {true}, kind);
    const ScaledSource once(codes, {});
    const QuantizedSource again(once, {true}, kind);
    const ScaledSource twice(again, {});
    const auto first = values_of<float>(read_whole(once, 0)), second = values_of<float>(read_whole(twice, 0));
    if (kind == ScaleKind::pow2) {
      EXPECT_EQ(first, second);
      continue;
    }
    EXPECT_EQ(read_whole(codes, 0), read_whole(again, 0));
    for (size_t i = 0; i < first.size(); ++i) ASSERT_NEAR(first[i], second[i], 3e-7f * std::abs(first[i]));
  }
}

std::string fault(const std::function<void()>& what) {
  try {
    what();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Fp8Weights, WhatDoesNotFitIsListed) {
  const auto read = [](std::vector<TensorSpec> tensors) {
    return fault([&] { ScaledSource(MemorySource(std::move(tensors)), {}); });
  };
  const TensorSpec codes{.name = "w", .type = ElementType::f8_e4m3, .shape = {130, 5}};
  const auto factors = [](Shape shape, ElementType type = ElementType::f32) {
    return TensorSpec{.name = "w_scale_inv", .type = type, .shape = shape};
  };
  EXPECT_THAT(read({codes}), HasSubstr("missing    w_scale_inv [2, 1] of w (param) f8_e4m3 [130, 5]"));
  EXPECT_THAT(read({codes, factors({1, 1})}),
              HasSubstr("different  w_scale_inv (param) f32 [1, 1], which should be f32 or bf16 [2, 1]"));
  EXPECT_THAT(read({codes, factors({2, 1}, ElementType::i32)}), HasSubstr("should be f32 or bf16"));
  EXPECT_THAT(read({factors({2, 1})}), HasSubstr("extra      w_scale_inv"));

  MemorySource plain({{.name = "w", .shape = {2, 300}}});
  std::vector<float> values(600, 1);
  values[290] = std::numeric_limits<float>::infinity();
  plain.set("w", bytes_of(values));
  const QuantizedSource source(plain, {true}, ScaleKind::pow2);
  EXPECT_THAT(fault([&] { read_whole(source, 0); }), HasSubstr("a weight that is infinite or no number"));
}

TEST(Fp8Weights, OtherWaysToQuantizeAreRefused) {
  const auto read = [](const char* key, json value) {
    json config{
        {kHfQuantization, {{"quant_method", "fp8"}, {"fmt", "e4m3"}, {"weight_block_size", {128, 64}}}}};
    config[kHfQuantization][key] = std::move(value);
    return fault([&] {
      const ScaledBlocks blocks = parse_hf_quantization(config, "m/config.json");
      EXPECT_EQ(blocks.factors({129, 129}), (Shape{2, 3}));
    });
  };
  EXPECT_EQ(read("activation_scheme", "dynamic"), "nothing was thrown");
  EXPECT_THAT(
      read("quant_method", "gptq"),
      testing::AllOf(HasSubstr("m/config.json: quantization_config.quant_method"), HasSubstr("\"gptq\"")));
  EXPECT_THAT(read("fmt", "e5m2"), HasSubstr("quantization_config.fmt"));
  for (const json& size :
       {json(), json(128), json{128}, json{0, 128}, json{128, 1.5}, json{128, int64_t{1} << 40}})
    EXPECT_THAT(read("weight_block_size", size), HasSubstr("[rows, columns] of a block")) << size;
  EXPECT_THAT(fault([] { parse_hf_quantization(json::object(), "c"); }), HasSubstr("quantization_config"));
  EXPECT_EQ(
      parse_hf_quantization({{kHfQuantization, json::parse(make_hf_quantization().dump())}}, "c").columns,
      128);
}

// torch decodes the file that we wrote, and we the file that it wrote by DeepSeek's formula.
TEST(Interop, TorchReadsOurFp8WeightsAndWeReadTheirs) {
  Python python;
  NEEDS(python.there());
  const TemporaryFolder folder;
  const auto files = make_posix_file_system();
  MemorySource plain({{.name = "w", .shape = {130, 257}}});
  plain.set("w", bytes_of(weights({130, 257}, 9)));
  const QuantizedSource source(plain, {true}, ScaleKind::f32);
  SafetensorsSink sink(*files, folder.path() + "/ours", {});
  sink.declare({source.tensors().begin(), source.tensors().end()}, {}, {});
  WorkerPool pool(1);
  convert_tensors(source, sink, pool, nullptr);
  sink.commit();
  const auto said = python.run("fp8_weights_test.py", "'" + folder.path() + "'", {});
  NEEDS(said);
  EXPECT_EQ(said->at("ours"), hex(read_whole(ScaledSource(source, {}), 0)));
  const SafetensorsSource theirs(*files, folder.path() + "/theirs.safetensors");
  EXPECT_EQ(said->at("theirs"), hex(read_whole(ScaledSource(theirs, {}), 0)));
}

}  // namespace
}  // namespace strata
