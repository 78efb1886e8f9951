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

std::string adapter_section(const FinetuneStart& start) {
  if (!start.lora) return "";
  std::string text = R"(
[adapter]
type = "lora"             # the model stays as it is; small matrices beside its layers learn
rank = 16
alpha = 32
target = ["all-linear"]   # or some: "q_proj", "v_proj", "mlp.*"
)";
  if (!start.base_weights.empty())
    text += fmt::format("base_weights = {}      # meanwhile the model is kept in blocks (QLoRA)\n",
                        quoted(start.base_weights));
  return text;
}

// Sections that only some ways to train need.
std::string memory_sections(const FinetuneStart& start) {
  std::string text;
  if (start.recompute)
    text += "\n[parallel]\nrecompute = \"full\"        # layers run twice, so that less is kept of them\n";
  if (start.offload.empty()) return text;
  text += "\n# State away from the device: it comes back a few layers before its use.\n[offload]\n";
  for (const auto& [key, value] : start.offload) text += fmt::format("{} = {}\n", key, value);
  return text;
}

}  // namespace

std::string finetune_toml(const ModelSpec& spec, const FinetuneStart& start) {
  const int64_t seq_len = start.seq_len ? start.seq_len : std::min<int64_t>(1024, spec.max_positions);
  const std::string out = start.out.empty() ? "runs/" + start.name : start.out;
  std::string data;
  if (start.records || start.data.ends_with(".jsonl"))
    data += "packing = \"best_fit\"      # rows of whole records\n";
  if (!start.chat_template.empty()) data += fmt::format("chat_template = {}\n", quoted(start.chat_template));
  return fmt::format(
      R"(# Goes on training {model}. 'strata config keys' explains every key.
#   strata plan FILE      what a step needs
#   strata train FILE     train; any key can be changed, as in optimizer.lr=1e-5
{result}

[run]
name = {name}
{out}steps = {steps}

{sizes}{adapter}
[data]
train = [{data}]
valid_fraction = {valid}     # the end is never trained on, only measured
seq_len = {seq_len}
tokenizer = {tokenizer}
{more_data}
[batch]
tokens_per_step = {tokens}
micro_batch = 1           # sequences at once; lower memory, the same result

[optimizer]
{lr}
weight_decay = 0.0
grad_clip = 1.0

[schedule]
type = "cosine"
warmup = {warmup}

[precision]
compute = "bf16"
{memory}
[checkpoint]
every = 100
keep = 2

[eval]
every = {every}

[log]
every = 1
)",
      fmt::arg("model", start.model), fmt::arg("name", quoted(start.name)),
      fmt::arg("out", start.out.empty() ? "" : fmt::format("out = {}\n", quoted(start.out))),
      fmt::arg("steps", start.steps), fmt::arg("sizes", model_section(spec, start.model)),
      fmt::arg("adapter", adapter_section(start)), fmt::arg("data", quoted(start.data)),
      fmt::arg("valid", start.valid_fraction), fmt::arg("seq_len", seq_len),
      fmt::arg("tokenizer", quoted(start.tokenizer)), fmt::arg("more_data", data),
      fmt::arg("tokens", start.rows * seq_len),
      fmt::arg("lr", start.lora
                         ? "lr = 2e-4                 # adapters begin at nothing: more than a whole model's"
                         : "lr = 2e-5                 # small: the model knows much already"),
      fmt::arg("warmup", start.warmup), fmt::arg("memory", memory_sections(start)),
      fmt::arg("every", start.every),
      fmt::arg("result",
               start.lora
                   ? fmt::format("#   strata merge {0} OUT              the result as a Hugging Face folder\n"
                                 "#   strata convert {0} OUT --to peft  the adapters alone, for peft",
                                 out)
                   : fmt::format("#   strata convert {} OUT --to hf     the result as a Hugging Face folder",
                                 out)));
}

std::string with_key(std::string text, const std::string& section, const std::string& name,
                     const std::string& value) {
  const std::string head = fmt::format("\n[{}]\n", section), line = fmt::format("{} = {}\n", name, value);
  const size_t found = text.find(head);
  if (found == std::string::npos) return text + head + line;
  const size_t begin = found + head.size(), end = std::min(text.find("\n[", begin - 1), text.size());
  const size_t old = text.find(fmt::format("\n{} = ", name), begin - 1);
  if (old == std::string::npos || old >= end) return text.insert(begin, line);
  return text.replace(old + 1, text.find('\n', old + 1) - old, line);
}

}  // namespace strata
