// SPDX-License-Identifier: Apache-2.0
#include "launch/recipes/finetune.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace strata {
namespace {

std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }  // a TOML string, too

std::string model_section(const ModelSpec& spec, const std::string& path) {
  std::string text = fmt::format(
      "[model]\nfrom = {}\n"
      "# Its sizes, as its own configuration has them.\n"
      "arch = {}\nlayers = {}\nhidden = {}\nheads = {}\n",
      quoted(path), quoted(spec.arch), spec.layers, spec.hidden, spec.heads);
  if (spec.kv_heads != spec.heads) text += fmt::format("kv_heads = {}\n", spec.kv_heads);
  if (spec.head_dim * spec.heads != spec.hidden) text += fmt::format("head_dim = {}\n", spec.head_dim);
  text += fmt::format("ffn = {}\nvocab = {}\nmax_positions = {}\nnorm_eps = {}\ntied = {}\n", spec.ffn,
                      spec.vocab, spec.max_positions, spec.norm_eps, spec.tied);
  if (spec.qk_norm) text += "qk_norm = true\n";
  if (spec.qkv_bias) text += "qkv_bias = true\n";
  if (spec.arch == "gpt2") return text;
  text += fmt::format("rope_theta = {}\n", spec.rope.theta);
  if (spec.rope.llama3_scaling)
    text += fmt::format(
        "rope_scaling = \"llama3\"\nrope_factor = {}\nrope_low_freq_factor = {}\n"
        "rope_high_freq_factor = {}\nrope_original_positions = {}\n",
        spec.rope.factor, spec.rope.low_freq_factor, spec.rope.high_freq_factor,
        static_cast<int64_t>(spec.rope.original_positions));
  return text;
}

constexpr const char* kAdapterSection = R"(
[adapter]
type = "lora"             # the model stays as it is; small matrices beside its layers learn
rank = 16
alpha = 32
target = ["all-linear"]   # or some: "q_proj", "v_proj", "mlp.*"
)";

}  // namespace

std::string finetune_toml(const ModelSpec& spec, const FinetuneStart& start) {
  const int64_t seq_len = std::min<int64_t>(1024, spec.max_positions);
  return fmt::format(
      R"(# Goes on training {0}. 'strata config keys' explains every key.
#   strata plan FILE      what a step needs
#   strata train FILE     train; any key can be changed, as in optimizer.lr=1e-5
{8}

[run]
name = {1}
steps = 200

{2}{9}
[data]
train = [{3}]
valid_fraction = 0.02     # the end is never trained on, only measured
seq_len = {4}
tokenizer = {5}
{10}
[batch]
tokens_per_step = {6}
micro_batch = 1           # sequences at once; lower memory, the same result

[optimizer]
{7}
weight_decay = 0.0
grad_clip = 1.0

[schedule]
type = "cosine"
warmup = 10

[precision]
compute = "bf16"

[checkpoint]
every = 100
keep = 2

[eval]
every = 50

[log]
every = 1
)",
      start.model, quoted(start.name), model_section(spec, start.model), quoted(start.data), seq_len,
      quoted(start.tokenizer), 8 * seq_len,
      start.lora ? "lr = 2e-4                 # adapters begin at nothing: more than a whole model's"
                 : "lr = 2e-5                 # small: the model knows much already",
      start.lora
          ? fmt::format("#   strata merge runs/{0} OUT              the result as a Hugging Face folder\n"
                        "#   strata convert runs/{0} OUT --to peft  the adapters alone, for peft",
                        start.name)
          : fmt::format("#   strata convert runs/{} OUT --to hf     the result as a Hugging Face folder",
                        start.name),
      start.lora ? kAdapterSection : "",
      start.data.ends_with(".jsonl") ? "packing = \"best_fit\"      # rows of whole records\n" : "");
}

}  // namespace strata
