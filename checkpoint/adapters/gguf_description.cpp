// SPDX-License-Identifier: Apache-2.0
// Keys: ggml, docs/gguf.md, and what convert_hf_to_gguf.py of llama.cpp writes for these architectures.
#include "checkpoint/adapters/gguf_description.h"

#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace strata {

std::string gguf_architecture(const HfModel& model) {
  const RopeSpec& rope = model.spec.rope;
  if (rope.llama3_scaling &&
      (rope.low_freq_factor != 1 || rope.high_freq_factor != 4 || rope.original_positions != 8192))
    throw Error(Fault::usage,
                {.what = "the rotary frequencies are scaled in a way that is not read back from GGUF",
                 .where = "model.rope_scaling",
                 .found = fmt::format("factors {} and {} over {} positions", rope.low_freq_factor,
                                      rope.high_freq_factor, rope.original_positions),
                 .expected = "those of Llama 3.1: 1 and 4 over 8192"});
  return model.family == "mistral" ? "llama" : model.family;
}

void describe_gguf_model(const HfModel& model, const std::string& name, GgufFileType type,
                         GgufValues& values) {
  const ModelSpec& s = model.spec;
  const std::string arch = gguf_architecture(model);
  const bool gpt2 = arch == "gpt2";
  values.text("general.architecture", arch);
  values.text("general.type", "model");
  values.text("general.name", name);
  const auto key = [&](const char* rest) { return arch + "." + rest; };
  values.u32(key("block_count"), s.layers);
  values.u32(key("context_length"), s.max_positions);
  values.u32(key("embedding_length"), s.hidden);
  values.u32(key("feed_forward_length"), s.ffn);
  values.u32(key("attention.head_count"), s.heads);
  if (!gpt2) {
    values.u32(key("attention.head_count_kv"), s.kv_heads);
    values.f32(key("rope.freq_base"), s.rope.theta);
    values.u32(key("rope.dimension_count"), s.head_dim);
    values.u32(key("attention.key_length"), s.head_dim);
    values.u32(key("attention.value_length"), s.head_dim);
  }
  values.f32(key(gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"), s.norm_eps);
  values.u32(key("vocab_size"), s.vocab);
  values.u32("general.file_type", static_cast<int64_t>(type));
  values.u32("general.quantization_version", 2);
}

std::vector<float> llama3_rope_factors(const RopeSpec& rope, int64_t head_dim) {
  std::vector<float> factors(static_cast<size_t>(head_dim / 2));
  const auto half = static_cast<double>(factors.size());
  for (size_t i = 0; i < factors.size(); ++i) {
    const double wavelength = 2 * std::numbers::pi * std::pow(rope.theta, static_cast<double>(i) / half);
    double factor = rope.factor;
    if (wavelength < rope.original_positions / rope.high_freq_factor) {
      factor = 1;
    } else if (wavelength <= rope.original_positions / rope.low_freq_factor) {
      const double smooth = (rope.original_positions / wavelength - rope.low_freq_factor) /
                            (rope.high_freq_factor - rope.low_freq_factor);
      factor = 1 / ((1 - smooth) / rope.factor + smooth);
    }
    factors[i] = static_cast<float>(factor);
  }
  return factors;
}

}  // namespace strata
