// SPDX-License-Identifier: Apache-2.0
// What a split leaves of a model on each part: the parts' rectangles tile every logical tensor, fused
// matrices are cut piece by piece, initial values are those of the whole, and placements say what the
// rectangles show.
#include <gtest/gtest.h>

#include <map>

#include "core/base/error.h"
#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/nn/initial_values.h"

namespace strata {
namespace {

using Kind = AxisPlacement::Kind;

struct SplitCase {
  const char* arch;
  bool tied,
      variants;  // variants: q/k norm and biases of query, key and value, where the architecture has them
  int parts;
};

ModelSpec spec_of(const SplitCase& c) {
  const bool llama = std::string(c.arch) == "llama";
  return {.arch = c.arch,
          .layers = 2,
          .hidden = 24,
          .heads = 8,
          .kv_heads = llama ? 4 : 8,
          .head_dim = 6,
          .ffn = 40,
          .vocab = 70,
          .max_positions = 16,
          .tied = c.tied,
          .qk_norm = llama && c.variants,
          .qkv_bias = llama && c.variants};
}

class SplitModel : public testing::TestWithParam<SplitCase> {};

// Every element of every logical tensor is held by exactly one part where it is sharded, by all where
// replicated, and begins with the number it has in the whole model.
TEST_P(SplitModel, PartsTileTheWhole) {
  const SplitCase c = GetParam();
  const ModelSpec spec = spec_of(c);
  WorkerPool pool(1);
  CpuStream stream(pool);
  const auto allocator = make_cpu_allocator();
  auto initial = [&](const Parameter& parameter) {
    const Tensor values = make_tensor(*allocator, DType::f32, parameter.shape, "test");
    fill_initial(stream, parameter, values, 7);
    return values;
  };
  const Model whole = make_model(spec, DType::f32);
  std::map<std::string, std::vector<float>> expected;
  for (int block = 0; block < whole.num_blocks(); ++block)
    for (const Parameter& parameter : whole.parameters(block)) {
      const Tensor values = initial(parameter);
      for (const LogicalTensor& piece : parameter.pieces) {
        EXPECT_EQ(piece.held, Rect::whole(piece.shape)) << piece.name;
        const auto span = rows_of(piece, values).span<float>();
        expected[piece.name].assign(span.begin(), span.end());
      }
      EXPECT_EQ(parameter.value.kind, Kind::replicate);
      EXPECT_EQ(parameter.gradient.kind, Kind::replicate);
    }

  std::map<std::string, std::vector<int>> holders;
  for (int part = 0; part < c.parts; ++part) {
    const Model model = make_model(spec, DType::f32, {.parts = c.parts, .part = part});
    EXPECT_EQ(model.num_parameters(), whole.num_parameters());
    for (int block = 0; block < model.num_blocks(); ++block)
      for (const Parameter& parameter : model.parameters(block)) {
        const Tensor values = initial(parameter);
        int64_t rows = 0;
        for (const LogicalTensor& piece : parameter.pieces) {
          EXPECT_EQ(piece.first_row, rows) << piece.name;
          rows += piece.held.extent[0];
          std::vector<int>& count = holders[piece.name];
          count.resize(static_cast<size_t>(piece.shape.numel()));
          const Tensor here = rows_of(piece, values);
          EXPECT_EQ(here.shape(), piece.held.extent) << piece.name;
          const bool matrix = piece.shape.rank() == 2;
          const int64_t width = matrix ? piece.held.extent[1] : 1;
          for (int64_t i = 0; i < here.numel(); ++i) {
            const int64_t row = piece.held.begin[0] + i / width;
            const int64_t at = matrix ? row * piece.shape[1] + piece.held.begin[1] + i % width : row;
            ++count[static_cast<size_t>(at)];
            EXPECT_EQ(here.data<float>()[i], expected[piece.name][static_cast<size_t>(at)])
                << piece.name << at;
          }
          const Rect all = Rect::whole(piece.shape);
          if (parameter.value.kind == Kind::shard) {
            EXPECT_NE(piece.held, all) << piece.name;
            EXPECT_EQ(piece.held.extent[1 - parameter.value.dim], all.extent[1 - parameter.value.dim])
                << piece.name;
            EXPECT_EQ(parameter.gradient, parameter.value) << piece.name;
          } else {
            EXPECT_EQ(piece.held, all) << piece.name;
            EXPECT_EQ(parameter.value.kind, Kind::replicate) << piece.name;
          }
        }
        EXPECT_LE(rows, parameter.shape[0]);
        if (parameter.role != Role::embedding && parameter.name != "head.weight") {
          EXPECT_EQ(rows, parameter.shape[0]) << parameter.name;
        }
      }
  }
  ASSERT_EQ(holders.size(), expected.size());
  const Model first = make_model(spec, DType::f32, {.parts = c.parts});
  for (int block = 0; block < first.num_blocks(); ++block)
    for (const Parameter& parameter : first.parameters(block))
      for (const LogicalTensor& piece : parameter.pieces)
        for (const int count : holders.at(piece.name))
          ASSERT_EQ(count, parameter.value.kind == Kind::shard ? 1 : c.parts) << piece.name;
}

INSTANTIATE_TEST_SUITE_P(Models, SplitModel,
                         testing::Values(SplitCase{"llama", false, false, 2},
                                         SplitCase{"llama", true, true, 4}, SplitCase{"gpt2", true, false, 2},
                                         SplitCase{"gpt2", false, false, 8}),
                         [](const auto& info) {
                           return std::string(info.param.arch) + "_" + std::to_string(info.param.parts);
                         });

std::map<std::string, Kind> gradients_of(const char* arch, const Split& split) {
  const Model model = make_model(spec_of({arch, true, true, split.parts}), DType::f32, split);
  std::map<std::string, Kind> kinds;
  for (int block = 0; block < model.num_blocks(); ++block)
    for (const Parameter& parameter : model.parameters(block))
      kinds[parameter.name] = parameter.gradient.kind;
  return kinds;
}

// A gain of q/k norm is used by every head; the other vectors held whole see all tokens, or with sequence
// parallelism some.
TEST(Split, GradientsOfWhatIsHeldWhole) {
  auto llama = gradients_of("llama", {.parts = 2});
  EXPECT_EQ(llama.at("layers.0.attention.query_norm.weight"), Kind::partial);
  EXPECT_EQ(llama.at("layers.1.attention.key_norm.weight"), Kind::partial);
  EXPECT_EQ(llama.at("layers.0.attention_norm.weight"), Kind::replicate);
  EXPECT_EQ(llama.at("final_norm.weight"), Kind::replicate);
  EXPECT_EQ(llama.at("layers.0.attention.qkv.bias"), Kind::shard);
  llama = gradients_of("llama", {.parts = 2, .sequence = true});
  EXPECT_EQ(llama.at("layers.0.attention_norm.weight"), Kind::partial);
  EXPECT_EQ(llama.at("layers.0.mlp_norm.weight"), Kind::partial);
  EXPECT_EQ(llama.at("final_norm.weight"), Kind::partial);
  EXPECT_EQ(llama.at("layers.0.attention.qkv.bias"), Kind::shard);
  auto gpt2 = gradients_of("gpt2", {.parts = 2});
  EXPECT_EQ(gpt2.at("layers.0.mlp.down.bias"), Kind::replicate);
  EXPECT_EQ(gpt2.at("position_embedding.weight"), Kind::replicate);
  gpt2 = gradients_of("gpt2", {.parts = 2, .sequence = true});
  EXPECT_EQ(gpt2.at("layers.0.mlp.down.bias"), Kind::partial);
  EXPECT_EQ(gpt2.at("layers.0.attention.output.bias"), Kind::partial);
  EXPECT_EQ(gpt2.at("layers.0.mlp.up.bias"), Kind::shard);
  EXPECT_EQ(gpt2.at("position_embedding.weight"), Kind::partial);
  EXPECT_EQ(gpt2.at("embedding.weight"), Kind::shard);
}

TEST(Split, AFactorThatDoesNotDivideIsNamed) {
  ModelSpec spec = spec_of({"llama", false, false, 8});
  try {
    make_model(spec, DType::f32, {.parts = 8});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    EXPECT_NE(std::string(error.what()).find("parallel.tp must divide model.kv_heads"), std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("divisors of 4"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace strata
