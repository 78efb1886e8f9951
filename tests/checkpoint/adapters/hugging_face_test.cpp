// SPDX-License-Identifier: Apache-2.0
// Hugging Face -> logical tensors -> Hugging Face: the same names, shapes and bytes, for every family; and
// what the logical tensors hold, element by element, where the geometry is not trivial.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/adapters/hugging_face.h"
#include "core/base/error.h"
#include "tests/checkpoint/adapters/memory_source.h"

namespace strata {
namespace {

using nlohmann::json;

json llama_config(const std::string& family) {
  return {{"model_type", family},     {"num_hidden_layers", 2},
          {"hidden_size", 16},        {"num_attention_heads", 4},
          {"num_key_value_heads", 2}, {"intermediate_size", 20},
          {"vocab_size", 31},         {"max_position_embeddings", 64},
          {"rms_norm_eps", 1e-5},     {"hidden_act", "silu"},
          {"rope_theta", 5e5},        {"tie_word_embeddings", false}};
}
json gpt2_config() {
  return {{"model_type", "gpt2"}, {"n_layer", 2},      {"n_embd", 12},      {"n_head", 3},
          {"vocab_size", 31},     {"n_positions", 16}, {"n_inner", nullptr}};
}

// As transformers stores them (modeling_*.py), written out by hand.
std::vector<TensorSpec> llama_stored(const json& config, ElementType type) {
  const int64_t d = 16, h = 4, kv = 2, e = config.value("head_dim", 4), f = 20, v = 31;
  std::vector<TensorSpec> stored;
  const auto add = [&](const std::string& name, Shape shape) {
    stored.push_back({.name = name, .type = type, .shape = shape});
  };
  add("model.embed_tokens.weight", {v, d});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string p = fmt::format("model.layers.{}.", layer);
    add(p + "input_layernorm.weight", {d});
    add(p + "post_attention_layernorm.weight", {d});
    const std::pair<const char*, int64_t> projections[] = {
        {"q_proj", h * e}, {"k_proj", kv * e}, {"v_proj", kv * e}};
    for (const auto& [name, rows] : projections) {
      add(fmt::format("{}self_attn.{}.weight", p, name), {rows, d});
      if (config["model_type"] == "qwen2") add(fmt::format("{}self_attn.{}.bias", p, name), {rows});
    }
    if (config["model_type"] == "qwen3")
      for (const char* name : {"q_norm", "k_norm"}) add(fmt::format("{}self_attn.{}.weight", p, name), {e});
    add(p + "self_attn.o_proj.weight", {d, h * e});
    add(p + "mlp.gate_proj.weight", {f, d});
    add(p + "mlp.up_proj.weight", {f, d});
    add(p + "mlp.down_proj.weight", {d, f});
  }
  add("model.norm.weight", {d});
  if (!config.value("tie_word_embeddings", false)) add("lm_head.weight", {v, d});
  return stored;
}
std::vector<TensorSpec> gpt2_stored(const std::string& prefix) {
  std::vector<TensorSpec> stored;
  const auto add = [&](const std::string& name, Shape shape) {
    stored.push_back({.name = prefix + name, .shape = shape});
  };
  add("wte.weight", {31, 12});
  add("wpe.weight", {16, 12});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string p = fmt::format("h.{}.", layer);
    const auto both = [&](const std::string& name, Shape weight, int64_t bias) {
      add(p + name + ".weight", weight);
      add(p + name + ".bias", {bias});
    };
    both("ln_1", {12}, 12);
    both("attn.c_attn", {12, 36}, 36);
    both("attn.c_proj", {12, 12}, 12);
    both("ln_2", {12}, 12);
    both("mlp.c_fc", {12, 48}, 48);
    both("mlp.c_proj", {48, 12}, 12);
  }
  add("ln_f.weight", {12});
  add("ln_f.bias", {12});
  return stored;
}

std::map<std::string, std::vector<std::byte>> contents(const TensorSource& source) {
  std::map<std::string, std::vector<std::byte>> all;
  for (size_t t = 0; t < source.tensors().size(); ++t)
    all[to_string(source.tensors()[t])] = read_whole(source, t);
  return all;
}

void expect_round_trip(const json& config, std::vector<TensorSpec> stored) {
  const MemorySource there(std::move(stored));
  const HfModel model = parse_hf_config(config, "config.json");
  const HfMapping in = from_hugging_face(model, there.tensors(), "there");
  EXPECT_TRUE(in.dropped.empty());
  const MappedSource logical(there, in.tensors, {}, {});
  const HfMapping out = to_hugging_face(model, logical.tensors(), "logical", in.prefix);
  const MappedSource back(logical, out.tensors, {}, {});
  EXPECT_EQ(contents(back), contents(there)) << config.dump();
}

TEST(HuggingFace, ThereAndBackIsByteIdentical) {
  for (const char* family : {"llama", "qwen2", "qwen3", "mistral"})
    for (const bool tied : {false, true})
      for (const ElementType type : {ElementType::bf16, ElementType::f32}) {
        json config = llama_config(family);
        config["tie_word_embeddings"] = tied;
        if (std::string(family) == "qwen3") config["head_dim"] = 8;
        expect_round_trip(config, llama_stored(config, type));
      }
  for (const char* prefix : {"transformer.", ""}) expect_round_trip(gpt2_config(), gpt2_stored(prefix));
}

// A job of DCP or DeepSpeed: names of transformers behind its own, with the optimizer's moments.
TEST(HuggingFace, MomentsComeAlongAndAJobsOwnPrefixGoes) {
  std::vector<TensorSpec> stored = llama_stored(llama_config("llama"), ElementType::f32);
  const size_t params = stored.size();
  for (size_t t = 0; t < params; ++t) {
    stored[t].name = "model." + stored[t].name;
    for (const char* state : {"m", "v"}) {
      if (stored[t].name.find("norm") != std::string::npos && state[0] == 'v') continue;  // frozen, say
      stored.push_back(stored[t]);
      stored.back().state = state;
    }
  }
  stored.push_back({.name = "optim.state.model.norm.weight.step", .shape = {}});
  const HfModel model = parse_hf_config(llama_config("llama"), "config.json");
  const HfMapping mapping = from_hugging_face(model, stored, "memory");
  EXPECT_EQ(mapping.tensors.size(), stored.size() - 1);
  EXPECT_EQ(mapping.prefix, "model.");
  EXPECT_EQ(mapping.dropped.size(), 1u);
  for (const MappedTensor& tensor : mapping.tensors) {
    const TensorSpec& from = stored[tensor.pieces[0].from];
    EXPECT_EQ(tensor.logical.state, from.state);
    EXPECT_EQ(tensor.logical.shape, from.shape);
    if (tensor.logical.name == "head.weight") {
      EXPECT_EQ(from.name, "model.lm_head.weight");
    }
    if (tensor.logical.name == "layers.1.mlp.up.weight") {
      EXPECT_EQ(from.name, "model.model.layers.1.mlp.up_proj.weight");
    }
  }
}

TEST(HuggingFace, Gpt2MatricesAreCutAndTurned) {
  const MemorySource there(gpt2_stored("transformer."));
  const HfMapping mapping = from_hugging_face(parse_hf_config(gpt2_config(), "c"), there.tensors(), "there");
  const MappedSource logical(there, mapping.tensors, {}, {});
  const auto c_attn = there.whole("transformer.h.1.attn.c_attn.weight");
  int part = 0;
  for (const char* name : {"query", "key", "value"}) {
    const auto got = whole_of(logical, fmt::format("layers.1.attention.{}.weight", name));
    for (size_t out = 0; out < 12; ++out)
      for (size_t in = 0; in < 12; ++in)
        ASSERT_EQ(std::memcmp(&got[4 * (out * 12 + in)],
                              &c_attn[4 * (in * 36 + 12 * static_cast<size_t>(part) + out)], 4),
                  0)
            << name;
    ++part;
  }
  const auto bias = there.whole("transformer.h.0.attn.c_attn.bias"),
             value = whole_of(logical, "layers.0.attention.value.bias");
  EXPECT_EQ(std::memcmp(value.data(), &bias[24 * 4], 48), 0);
  EXPECT_EQ(whole_of(logical, "position_embedding.weight"), there.whole("transformer.wpe.weight"));
}

std::string fault(const json& config, std::vector<TensorSpec> stored) {
  try {
    from_hugging_face(parse_hf_config(config, "config.json"), stored, "there");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(HuggingFace, EveryDifferenceIsListed) {
  const json config = llama_config("llama");
  std::vector<TensorSpec> stored = llama_stored(config, ElementType::f32);
  stored[1].name = "model.layers.0.other.weight";
  stored[2].shape = {13};
  EXPECT_THAT(fault(config, stored),
              testing::AllOf(testing::HasSubstr("3 differences"),
                             testing::HasSubstr("missing    model.layers.0.input_layernorm.weight [16]"),
                             testing::HasSubstr("different  model.layers.0.post_attention_layernorm.weight"),
                             testing::HasSubstr("extra      model.layers.0.other.weight")));
  EXPECT_THAT(fault(llama_config("qwen2"), llama_stored(config, ElementType::f32)),
              testing::HasSubstr("q_proj.bias"));
}

TEST(HuggingFace, WhatIsComputedOrStoredTwiceIsDropped) {
  json config = llama_config("llama");
  config["tie_word_embeddings"] = true;
  std::vector<TensorSpec> stored = llama_stored(config, ElementType::f32);
  stored.push_back({.name = "lm_head.weight", .shape = {31, 16}});
  stored.push_back({.name = "model.layers.0.self_attn.rotary_emb.inv_freq", .shape = {2}});
  const HfMapping mapping = from_hugging_face(parse_hf_config(config, "c"), stored, "there");
  EXPECT_EQ(mapping.dropped.size(), 2u);
  ASSERT_EQ(mapping.twins.size(), 1u);
  EXPECT_EQ(stored[mapping.twins[0].first].name, "lm_head.weight");
  EXPECT_EQ(stored[mapping.twins[0].second].name, "model.embed_tokens.weight");
}

TEST(HuggingFace, AnotherModelThanOursIsRefused) {
  const auto with = [](json config, const std::string& key, json value) {
    config[key] = std::move(value);
    try {
      parse_hf_config(config, "config.json");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const json llama = llama_config("llama"), gpt2 = gpt2_config();
  EXPECT_EQ(with(llama, "use_cache", true), "");
  for (const auto& [key, value] :
       std::initializer_list<std::pair<std::string, json>>{{"model_type", "mamba"},
                                                           {"model_type", 3},
                                                           {"hidden_act", "gelu"},
                                                           {"attention_bias", true},
                                                           {"mlp_bias", true},
                                                           {"num_hidden_layers", 0},
                                                           {"num_hidden_layers", -1},
                                                           {"num_hidden_layers", 1e9},
                                                           {"num_hidden_layers", int64_t{1} << 60},
                                                           {"hidden_size", "16"},
                                                           {"head_dim", 3},
                                                           {"num_key_value_heads", 3},
                                                           {"tie_word_embeddings", 1},
                                                           {"rms_norm_eps", "x"},
                                                           {"rope_scaling", 3},
                                                           {"rope_scaling", {{"rope_type", "yarn"}}},
                                                           {"rope_scaling", {{"type", "linear"}}}})
    EXPECT_THAT(with(llama, key, value), testing::HasSubstr("of the model's configuration")) << key << value;
  for (const auto& [key, value] :
       std::initializer_list<std::pair<std::string, json>>{{"activation_function", "relu"},
                                                           {"scale_attn_weights", false},
                                                           {"scale_attn_by_inverse_layer_idx", true},
                                                           {"n_head", 5}})
    EXPECT_THAT(with(gpt2, key, value), testing::HasSubstr("of the model's configuration")) << key << value;
}

TEST(HuggingFace, OurConfigurationReadsBackAsOurs) {
  for (json config : {llama_config("llama"), llama_config("qwen2"), llama_config("qwen3"), gpt2_config()}) {
    if (config["model_type"] == "llama")
      config["rope_scaling"] = {{"rope_type", "llama3"},
                                {"factor", 16.0},
                                {"low_freq_factor", 2.0},
                                {"high_freq_factor", 5.0},
                                {"original_max_position_embeddings", 32}};
    const ModelSpec a = parse_hf_config(config, "a").spec;
    const json made = json::parse(make_hf_config(a, ElementType::bf16).dump());
    const HfModel back = parse_hf_config(made, "b");
    const ModelSpec& b = back.spec;
    EXPECT_EQ(back.family, config["model_type"]);
    EXPECT_EQ(made["torch_dtype"], "bfloat16");
    EXPECT_EQ(std::tie(a.arch, a.layers, a.hidden, a.heads, a.kv_heads, a.head_dim, a.ffn, a.vocab,
                       a.max_positions, a.norm_eps, a.init_std, a.tied, a.qk_norm, a.qkv_bias),
              std::tie(b.arch, b.layers, b.hidden, b.heads, b.kv_heads, b.head_dim, b.ffn, b.vocab,
                       b.max_positions, b.norm_eps, b.init_std, b.tied, b.qk_norm, b.qkv_bias));
    EXPECT_EQ(std::tie(a.rope.theta, a.rope.llama3_scaling, a.rope.factor, a.rope.low_freq_factor,
                       a.rope.high_freq_factor, a.rope.original_positions),
              std::tie(b.rope.theta, b.rope.llama3_scaling, b.rope.factor, b.rope.low_freq_factor,
                       b.rope.high_freq_factor, b.rope.original_positions));
  }
}

TEST(HuggingFace, TransformersFiveSaysRotaryPositionsElsewhere) {
  json config = llama_config("llama");
  config.erase("rope_theta");
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 12345.0}};
  EXPECT_EQ(parse_hf_config(config, "c").spec.rope.theta, 12345.0);
}

TEST(HuggingFace, AWindowBoundsTheSequence) {
  json config = llama_config("mistral");
  config["sliding_window"] = 32;
  const HfModel model = parse_hf_config(config, "c");
  EXPECT_EQ(model.spec.max_positions, 32);
  EXPECT_EQ(model.notes.size(), 1u);
  config["sliding_window"] = nullptr;
  EXPECT_EQ(parse_hf_config(config, "c").spec.max_positions, 64);
}

}  // namespace
}  // namespace strata
