// SPDX-License-Identifier: Apache-2.0
// Keys: ggml, docs/gguf.md, and llama.cpp, src/llama-arch.cpp.
#include "checkpoint/adapters/gguf_model.h"

#include <algorithm>
#include <cmath>

#include "checkpoint/adapters/gguf_description.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr int64_t kMostLayers = 4096, kMostHeads = 1 << 12, kMostSize = 1 << 26;

// Keys of one architecture: "llama.block_count" is size("block_count").
class GgufKeys {
 public:
  GgufKeys(const GgufSource& source, std::string arch) : source_(source), arch_(std::move(arch)) {}

  [[noreturn]] void refuse(const std::string& key, std::string expected) const {
    const std::string full = arch_ + "." + key;
    const auto& header = source_.header();
    throw Error(Fault::model, {.what = fmt::format("'{}' is not what we can use", full),
                               .where = source_.path(),
                               .found = header.arrays.contains(full) ? "an array, a value for every layer"
                                        : has(key)                   ? value(key).dump().substr(0, 100)
                                                                     : "nothing",
                               .expected = std::move(expected)});
  }
  bool has(const std::string& key) const {
    return source_.header().values.contains(arch_ + "." + key) ||
           source_.header().arrays.contains(arch_ + "." + key);
  }
  int64_t size(const std::string& key, int64_t most) const {
    const nlohmann::json found = value(key);
    if (!found.is_number_integer() || found < 1 || found > most)
      refuse(key, fmt::format("a size from 1 to {}", most));
    return found.get<int64_t>();
  }
  int64_t size(const std::string& key, int64_t most, int64_t otherwise) const {
    return has(key) ? size(key, most) : otherwise;
  }
  double number(const std::string& key) const {
    const nlohmann::json found = value(key);
    if (!found.is_number() || !std::isfinite(found.get<double>())) refuse(key, "a number");
    return found.get<double>();
  }
  // Switches that our models do not have: nothing, zero, or `plain`.
  void must_be_plain(const std::string& key, const nlohmann::json& plain) const {
    if (has(key) && value(key) != plain) refuse(key, plain.dump());
  }

 private:
  nlohmann::json value(const std::string& key) const {
    const auto found = source_.header().values.find(arch_ + "." + key);
    return found == source_.header().values.end() ? nlohmann::json() : *found;
  }

  const GgufSource& source_;
  std::string arch_;
};

std::optional<size_t> find(const GgufSource& source, std::string_view name) {
  for (size_t t = 0; t < source.tensors().size(); ++t)
    if (source.tensors()[t].name == name) return t;
  return std::nullopt;
}

// Whether the file's divisors of frequencies are those of the scaling.
bool same_factors(const RopeSpec& rope, std::span<const float> factors) {
  const std::vector<float> wanted = llama3_rope_factors(rope, 2 * std::ssize(factors));
  for (size_t i = 0; i < factors.size(); ++i)
    if (!(std::abs(factors[i] - wanted[i]) <= 1e-4F * wanted[i])) return false;
  return true;
}

RopeSpec read_rope(const GgufSource& source, const GgufKeys& keys, int64_t head_dim) {
  RopeSpec rope;
  if (keys.has("rope.freq_base")) rope.theta = keys.number("rope.freq_base");
  if (!(rope.theta > 1)) keys.refuse("rope.freq_base", "a number above 1");
  if (keys.size("rope.dimension_count", kMostHeads, head_dim) != head_dim)
    keys.refuse("rope.dimension_count", fmt::format("{}, the size of a head", head_dim));
  keys.must_be_plain("rope.scaling.type", "none");
  const auto stored = find(source, "rope_freqs.weight");
  if (!stored) return rope;
  const TensorSpec& tensor = source.tensors()[*stored];
  std::vector<float> factors(static_cast<size_t>(head_dim / 2));
  rope.llama3_scaling = true;
  if (tensor.type == ElementType::f32 && tensor.shape == Shape{head_dim / 2}) {
    source.read(*stored, Rect::whole(tensor.shape),
                row_major(reinterpret_cast<std::byte*>(factors.data()), tensor.shape, 4));
    rope.factor = *std::max_element(factors.begin(), factors.end());
    if (rope.factor >= 1 && same_factors(rope, factors)) return rope;
  }
  throw Error(Fault::model, {.what = "the rotary frequencies are scaled in a way that is not known here",
                             .where = source.path(),
                             .found = to_string(tensor),
                             .expected = "the scaling of Llama 3.1 over 8192 positions"});
}

}  // namespace

HfModel parse_gguf_model(const GgufSource& source) {
  const nlohmann::json arch = source.header().values.value("general.architecture", nlohmann::json());
  constexpr std::string_view kKnown[] = {"llama", "qwen2", "qwen3", "gpt2"};
  if (!arch.is_string() || std::find(std::begin(kKnown), std::end(kKnown), arch) == std::end(kKnown))
    throw Error(Fault::model, {.what = "a model of this architecture is not known here",
                               .where = source.path() + ": general.architecture",
                               .found = arch.is_null() ? "nothing" : arch.dump().substr(0, 100),
                               .expected = "one of llama, qwen2, qwen3, gpt2"});
  HfModel model{.family = arch.get<std::string>()};
  const GgufKeys keys(source, model.family);
  ModelSpec& s = model.spec;
  const bool gpt2 = model.family == "gpt2";
  s.arch = gpt2 ? "gpt2" : "llama";
  s.layers = keys.size("block_count", kMostLayers);
  s.hidden = keys.size("embedding_length", kMostSize);
  s.heads = keys.size("attention.head_count", kMostHeads);
  s.kv_heads = gpt2 ? s.heads : keys.size("attention.head_count_kv", kMostHeads, s.heads);
  if (s.heads % s.kv_heads != 0) keys.refuse("attention.head_count_kv", "a divisor of the heads");
  if (!keys.has("attention.key_length") && s.hidden % s.heads != 0)
    keys.refuse("attention.head_count", fmt::format("a divisor of {}", s.hidden));
  s.head_dim = keys.size("attention.key_length", kMostHeads, s.hidden / s.heads);
  if (keys.size("attention.value_length", kMostHeads, s.head_dim) != s.head_dim)
    keys.refuse("attention.value_length", fmt::format("{}, as of keys", s.head_dim));
  if (gpt2 && s.head_dim * s.heads != s.hidden) keys.refuse("attention.key_length", "hidden size / heads");
  if (!gpt2 && (s.head_dim < 2 || s.head_dim % 2 != 0)) keys.refuse("attention.key_length", "an even size");
  s.ffn = keys.size("feed_forward_length", kMostSize);
  s.max_positions = keys.size("context_length", kMostSize);
  s.norm_eps = static_cast<float>(
      keys.number(gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"));
  s.qk_norm = model.family == "qwen3";
  s.qkv_bias = model.family == "qwen2";
  keys.must_be_plain("expert_count", 0);
  keys.must_be_plain("attention.sliding_window", 0);
  if (!gpt2) s.rope = read_rope(source, keys, s.head_dim);
  const auto table = find(source, "token_embd.weight");
  if (!table || source.tensors()[*table].shape.rank() != 2 || source.tensors()[*table].shape[0] > kMostSize)
    throw Error(Fault::model, {.what = "the model has no matrix of tokens that we can use",
                               .where = source.path() + ": token_embd.weight",
                               .found = table ? to_string(source.tensors()[*table]) : "nothing",
                               .expected = "a matrix of at most 67108864 rows"});
  s.vocab = source.tensors()[*table].shape[0];
  s.tied = !find(source, "output.weight");
  return model;
}

}  // namespace strata
