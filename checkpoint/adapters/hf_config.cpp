// SPDX-License-Identifier: Apache-2.0
// Keys and defaults: transformers, models/{llama,qwen2,qwen3,mistral,gpt2}/configuration_*.py.
#include "checkpoint/adapters/hf_config.h"

#include <algorithm>

#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

constexpr int64_t kLayers = 4096, kHeads = 1 << 12, kSize = 1 << 26;

// Reads keys of one object and says what is wrong with them.
class Keys {
 public:
  Keys(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  [[noreturn]] void refuse(const std::string& key, std::string expected) const {
    throw Error(Fault::model,
                {.what = fmt::format("'{}' of the model's configuration is not what we can use", key),
                 .where = where_,
                 .found = object_.contains(key) ? object_[key].dump().substr(0, 100) : "nothing",
                 .expected = std::move(expected),
                 .fix = "use a model of a family that Strata trains, or mend this key of its config.json"});
  }
  bool has(const std::string& key) const { return object_.contains(key) && !object_[key].is_null(); }
  // Products of three sizes stay far from overflow, and the model's list of tensors small.
  int64_t size(const std::string& key, int64_t most) const {
    if (!has(key) || !object_[key].is_number_integer() || object_[key] < 1 || object_[key] > most)
      refuse(key, fmt::format("a size from 1 to {}", most));
    return object_[key];
  }
  int64_t size(const std::string& key, int64_t most, int64_t otherwise) const {
    return has(key) ? size(key, most) : otherwise;
  }
  double number(const std::string& key, double otherwise) const {
    if (!has(key)) return otherwise;
    if (!object_[key].is_number()) refuse(key, "a number");
    return object_[key];
  }
  bool flag(const std::string& key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!object_[key].is_boolean()) refuse(key, "true or false");
    return object_[key];
  }
  std::string text(const std::string& key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!object_[key].is_string()) refuse(key, "a text");
    return object_[key];
  }
  void must_be(const std::string& key, bool value) const {
    if (flag(key, value) != value) refuse(key, value ? "true" : "false");
  }
  const json& operator[](const std::string& key) const { return object_[key]; }

 private:
  const json& object_;
  std::string where_;
};

// rope_theta and rope_scaling, or (transformers 5) both in rope_parameters.
RopeSpec read_rope(const Keys& keys, const std::string& where) {
  RopeSpec rope;
  const char* const name = keys.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  static const json kNothing = json::object();
  if (keys.has(name) && !keys[name].is_object()) keys.refuse(name, "an object");
  const Keys scaling(keys.has(name) ? keys[name] : kNothing, where + ": " + name);
  rope.theta = scaling.number("rope_theta", keys.number("rope_theta", rope.theta));
  const std::string type = scaling.text("rope_type", scaling.text("type", "default"));
  if (type == "default") return rope;
  if (type != "llama3") scaling.refuse("rope_type", "default or llama3");
  rope.llama3_scaling = true;
  rope.factor = scaling.number("factor", rope.factor);
  rope.low_freq_factor = scaling.number("low_freq_factor", rope.low_freq_factor);
  rope.high_freq_factor = scaling.number("high_freq_factor", rope.high_freq_factor);
  rope.original_positions = scaling.number("original_max_position_embeddings", rope.original_positions);
  return rope;
}

void read_window(const Keys& keys, HfModel& model) {
  const bool used = model.family == "mistral" || keys.flag("use_sliding_window", false);
  if (!used || !keys.has("sliding_window")) return;
  const int64_t window = keys.size("sliding_window", kSize);
  if (window >= model.spec.max_positions) return;
  model.spec.max_positions = window;
  model.notes.push_back(
      fmt::format("attention beyond a sliding window of {0} tokens is not available: sequences are "
                  "at most {0} long here",
                  window));
}

HfModel read_llama(const Keys& keys, std::string family, const std::string& where) {
  HfModel model{.family = std::move(family)};
  ModelSpec& s = model.spec;
  s.arch = "llama";
  s.layers = keys.size("num_hidden_layers", kLayers);
  s.hidden = keys.size("hidden_size", kSize);
  s.heads = keys.size("num_attention_heads", kHeads);
  s.kv_heads = keys.size("num_key_value_heads", kHeads, s.heads);
  s.head_dim = keys.size("head_dim", kHeads, s.hidden / s.heads);
  if (s.heads % s.kv_heads != 0) keys.refuse("num_key_value_heads", "a divisor of num_attention_heads");
  if (s.head_dim < 2 || s.head_dim % 2 != 0) keys.refuse("head_dim", "an even size");
  s.ffn = keys.size("intermediate_size", kSize);
  s.vocab = keys.size("vocab_size", kSize);
  s.max_positions = keys.size("max_position_embeddings", kSize);
  s.norm_eps = static_cast<float>(keys.number("rms_norm_eps", 1e-6));
  s.init_std = static_cast<float>(keys.number("initializer_range", 0.02));
  s.tied = keys.flag("tie_word_embeddings", false);
  s.qk_norm = model.family == "qwen3";
  s.qkv_bias = model.family == "qwen2";
  s.rope = read_rope(keys, where);
  if (const std::string act = keys.text("hidden_act", "silu"); act != "silu" && act != "swish")
    keys.refuse("hidden_act", "silu");
  if (!s.qkv_bias) keys.must_be("attention_bias", false);
  keys.must_be("mlp_bias", false);
  read_window(keys, model);
  return model;
}

HfModel read_gpt2(const Keys& keys) {
  HfModel model{.family = "gpt2"};
  ModelSpec& s = model.spec;
  s.arch = "gpt2";
  s.layers = keys.size("n_layer", kLayers);
  s.hidden = keys.size("n_embd", kSize);
  s.heads = s.kv_heads = keys.size("n_head", kHeads);
  if (s.hidden % s.heads != 0) keys.refuse("n_embd", "a multiple of n_head");
  s.head_dim = s.hidden / s.heads;
  s.ffn = keys.size("n_inner", kSize, 4 * s.hidden);
  s.vocab = keys.size("vocab_size", kSize);
  s.max_positions = keys.size("n_positions", kSize, keys.size("n_ctx", kSize, 1024));
  s.norm_eps = static_cast<float>(keys.number("layer_norm_epsilon", 1e-5));
  s.init_std = static_cast<float>(keys.number("initializer_range", 0.02));
  s.tied = keys.flag("tie_word_embeddings", true);
  if (const std::string act = keys.text("activation_function", "gelu_new");
      act != "gelu_new" && act != "gelu_pytorch_tanh")
    keys.refuse("activation_function", "gelu_new");
  keys.must_be("scale_attn_weights", true);
  keys.must_be("scale_attn_by_inverse_layer_idx", false);
  keys.must_be("add_cross_attention", false);
  return model;
}

std::string_view torch_name(ElementType type) {
  return type == ElementType::bf16  ? "bfloat16"
         : type == ElementType::f16 ? "float16"
         : type == ElementType::f64 ? "float64"
                                    : "float32";
}

}  // namespace

HfModel parse_hf_config(const json& config, const std::string& where) {
  if (!config.is_object())
    throw Error(Fault::model, {.what = "the model's configuration is no JSON object", .where = where});
  const Keys keys(config, where);
  const std::string family = keys.text("model_type", "");
  if (family == "gpt2") return read_gpt2(keys);
  if (family == "llama" || family == "qwen2" || family == "qwen3" || family == "mistral")
    return read_llama(keys, family, where);
  keys.refuse("model_type", "one of llama, qwen2, qwen3, mistral, gpt2");
}

std::string hf_family(const ModelSpec& spec) {
  if (spec.arch == "gpt2") return "gpt2";
  if (spec.arch == "llama" && !(spec.qk_norm && spec.qkv_bias))
    return spec.qk_norm ? "qwen3" : spec.qkv_bias ? "qwen2" : "llama";
  throw Error(Fault::usage,
              {.what = "Hugging Face has no model like this one",
               .found = fmt::format("model.arch = \"{}\", model.qk_norm = {}, model.qkv_bias = {}", spec.arch,
                                    spec.qk_norm, spec.qkv_bias),
               .expected = "gpt2, or llama with at most one of qk_norm and qkv_bias"});
}

nlohmann::ordered_json make_hf_config(const ModelSpec& spec, ElementType type) {
  const std::string family = hf_family(spec);
  nlohmann::ordered_json config;
  if (family == "gpt2") {
    config = {{"architectures", {"GPT2LMHeadModel"}},
              {"model_type", "gpt2"},
              {"n_layer", spec.layers},
              {"n_embd", spec.hidden},
              {"n_head", spec.heads},
              {"n_inner", spec.ffn},
              {"n_positions", spec.max_positions},
              {"vocab_size", spec.vocab},
              {"layer_norm_epsilon", shortest(spec.norm_eps)},
              {"activation_function", "gelu_new"}};
    // transformers' default is a token of GPT-2's own vocabulary.
    config["bos_token_id"] = config["eos_token_id"] = nullptr;
  } else {
    config = {{"architectures",
               {family == "llama"   ? "LlamaForCausalLM"
                : family == "qwen2" ? "Qwen2ForCausalLM"
                                    : "Qwen3ForCausalLM"}},
              {"model_type", family},
              {"num_hidden_layers", spec.layers},
              {"hidden_size", spec.hidden},
              {"num_attention_heads", spec.heads},
              {"num_key_value_heads", spec.kv_heads},
              {"head_dim", spec.head_dim},
              {"intermediate_size", spec.ffn},
              {"max_position_embeddings", spec.max_positions},
              {"vocab_size", spec.vocab},
              {"rms_norm_eps", shortest(spec.norm_eps)},
              {"hidden_act", "silu"},
              {"rope_theta", spec.rope.theta}};
    if (family != "qwen2") config["attention_bias"] = false;
    if (spec.rope.llama3_scaling)
      config["rope_scaling"] = {
          {"rope_type", "llama3"},
          {"factor", spec.rope.factor},
          {"low_freq_factor", spec.rope.low_freq_factor},
          {"high_freq_factor", spec.rope.high_freq_factor},
          {"original_max_position_embeddings", static_cast<int64_t>(spec.rope.original_positions)}};
    config["bos_token_id"] = config["eos_token_id"] = nullptr;
  }
  config["initializer_range"] = shortest(spec.init_std);
  config["tie_word_embeddings"] = spec.tied;
  config["torch_dtype"] = torch_name(type);
  return config;
}

double shortest(float value) { return std::stod(fmt::format("{}", value)); }

}  // namespace strata
