// SPDX-License-Identifier: Apache-2.0
#include "launch/config/resolve.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/data/mixture.h"
#include "core/ops/attention.h"
#include "launch/config/key_table.h"

namespace strata {
namespace {

using Faults = std::vector<CrossFault>;

// The multiple of `unit` (> 0) nearest to `value`, at least one unit.
int64_t nearest_multiple(int64_t value, int64_t unit) {
  return std::max(unit, (value + unit / 2) / unit * unit);
}

// The divisor of `value` (> 0) nearest to `wish`.
int64_t nearest_divisor(int64_t value, int64_t wish) {
  for (int64_t distance = 0; distance < value; ++distance) {
    if (wish > distance && value % (wish - distance) == 0) return wish - distance;
    if (value % (wish + distance) == 0) return wish + distance;
  }
  return 1;
}

// The checks run also beside faults of single keys, whose members then keep their defaults (0 for required
// ones): each one first asks for the numbers it divides by.

void check_name(const RunConfig& run, Faults& faults) {
  if (run.name.empty())
    faults.push_back({{"run.name"},
                      "run.name is empty",
                      "\"\"",
                      "a name for logs and for runs/NAME",
                      "run.name = \"run\""});
}

void check_heads(const ModelConfig& model, Faults& faults) {
  if (model.heads <= 0 || model.hidden <= 0) return;
  if (model.head_dim == 0)
    faults.push_back({{"model.hidden", "model.heads"},
                      "the heads do not divide the hidden width",
                      fmt::format("hidden {} / heads {} = {} remainder {}", model.hidden, model.heads,
                                  model.hidden / model.heads, model.hidden % model.heads),
                      "hidden = heads x head_dim",
                      fmt::format("model.heads = {} or model.hidden = {}, or give model.head_dim",
                                  nearest_divisor(model.hidden, model.heads),
                                  nearest_multiple(model.hidden, model.heads))});
  if (model.kv_heads > 0 && model.heads % model.kv_heads != 0)
    faults.push_back({{"model.heads", "model.kv_heads"},
                      "the key and value heads do not divide the query heads",
                      fmt::format("heads {} / kv_heads {} = {} remainder {}", model.heads, model.kv_heads,
                                  model.heads / model.kv_heads, model.heads % model.kv_heads),
                      "heads = kv_heads x queries per group",
                      fmt::format("model.kv_heads = {}", nearest_divisor(model.heads, model.kv_heads))});
}

void check_arch(const ModelConfig& model, Faults& faults) {
  if (model.head_dim > kMaxHeadDim)
    faults.push_back(
        {{"model.hidden", "model.heads", "model.head_dim"},
         "a head is wider than attention can be",
         fmt::format("head_dim {}", model.head_dim),
         fmt::format("head_dim <= {}", kMaxHeadDim),
         fmt::format("model.heads = {}, or a smaller model.head_dim", div_up(model.hidden, kMaxHeadDim))});
  if (model.arch == "llama" && model.head_dim % 2 != 0)
    faults.push_back({{"model.hidden", "model.heads", "model.head_dim"},
                      "rotary positions turn pairs of elements, and the head width is odd",
                      fmt::format("head_dim {}", model.head_dim),
                      "an even head_dim",
                      fmt::format("model.head_dim = {}", model.head_dim + 1)});
  if (model.arch != "gpt2" || model.heads <= 0) return;
  if (model.kv_heads != model.heads)
    faults.push_back({{"model.arch", "model.heads", "model.kv_heads"},
                      "gpt2 has no groups of key and value heads",
                      fmt::format("kv_heads {}, heads {}", model.kv_heads, model.heads),
                      "kv_heads = heads",
                      "remove model.kv_heads"});
  if (model.head_dim != 0 && model.head_dim * model.heads != model.hidden)
    faults.push_back({{"model.arch", "model.hidden", "model.heads", "model.head_dim"},
                      "the heads of gpt2 do not fill the hidden width",
                      fmt::format("heads {} x head_dim {} = {}, hidden {}", model.heads, model.head_dim,
                                  model.heads * model.head_dim, model.hidden),
                      "heads x head_dim = hidden",
                      "remove model.head_dim"});
}

void check_positions(const Config& config, Faults& faults) {
  const ModelConfig& model = config.model;
  if (config.data.seq_len > model.max_positions)
    faults.push_back({{"data.seq_len", "model.max_positions"},
                      "a sample is longer than the model's positions",
                      fmt::format("seq_len {} > max_positions {}", config.data.seq_len, model.max_positions),
                      "seq_len <= max_positions",
                      fmt::format("data.seq_len = {0} or model.max_positions = {1}", model.max_positions,
                                  config.data.seq_len)});
  if (model.rope_scaling == RopeScalingKind::llama3 &&
      model.rope_low_freq_factor >= model.rope_high_freq_factor)
    faults.push_back({{"model.rope_low_freq_factor", "model.rope_high_freq_factor"},
                      "the two bounds of the rotary wavelengths are not in order",
                      fmt::format("rope_low_freq_factor {} >= rope_high_freq_factor {}",
                                  model.rope_low_freq_factor, model.rope_high_freq_factor),
                      "rope_low_freq_factor < rope_high_freq_factor",
                      "model.rope_low_freq_factor = 1.0 and model.rope_high_freq_factor = 4.0"});
}

void check_loss(const Config& config, Faults& faults) {
  const bool dpo = config.loss.kind == LossKind::dpo, pairs = config.data.packing == Packing::pairs;
  if (dpo != pairs)
    faults.push_back(
        {{"loss.kind", "data.packing"},
         dpo ? "preferences are learned from pairs of responses" : "pairs of responses are for preferences",
         dpo ? "loss.kind = \"dpo\" and rows that are no pairs"
             : "rows of pairs and loss.kind = \"cross_entropy\"",
         "loss.kind = \"dpo\" with data.packing = \"pairs\"",
         dpo ? "data.packing = \"pairs\"" : "loss.kind = \"dpo\""});
  if (!dpo) return;
  if (!config.data.weights.empty())
    faults.push_back({{"loss.kind", "data.weights"},
                      "preferences have no mixtures",
                      "loss.kind = \"dpo\" and data.weights",
                      "one list of files",
                      "remove data.weights"});
  if (config.parallel.cp > 1)
    faults.push_back({{"loss.kind", "parallel.cp"},
                      "a response is compared as a whole, and context ranks share sequences",
                      fmt::format("parallel.cp = {}", config.parallel.cp),
                      "parallel.cp = 1 with loss.kind = \"dpo\"",
                      "parallel.cp = 1"});
  if (config.model.from.empty())
    faults.push_back({{"loss.kind", "model.from"},
                      "preferences are learned relative to a model",
                      "loss.kind = \"dpo\" and no model.from",
                      "a model that answers already",
                      "model.from = \"PATH\""});
}

void check_batch(const Config& config, Faults& faults) {
  const int64_t tokens = config.batch.tokens_per_step, rows = config.batch.micro_batch,
                len = config.data.seq_len;
  const int64_t micro = rows * len;
  if (tokens % micro != 0) {
    faults.push_back({{"batch.tokens_per_step", "batch.micro_batch", "data.seq_len"},
                      "a step is not a whole number of micro-batches",
                      fmt::format("tokens_per_step {} / (micro_batch {} x seq_len {} = {}) = {} remainder {}",
                                  tokens, rows, len, micro, tokens / micro, tokens % micro),
                      "tokens_per_step = micro_batch x seq_len x whole number",
                      fmt::format("batch.tokens_per_step = {}", nearest_multiple(tokens, micro))});
  }
}

void check_schedule(const Config& config, Faults& faults) {
  const int64_t steps = config.run.steps, warmup = config.schedule.warmup;
  if (steps <= 0) return;
  if (warmup > steps) {
    faults.push_back({{"schedule.warmup", "run.steps"},
                      "the warm-up is longer than the run",
                      fmt::format("warmup {} > steps {}", warmup, steps),
                      "warmup <= steps",
                      fmt::format("schedule.warmup = {}, or a longer run", steps / 10)});
    return;
  }
  const auto decay = static_cast<int64_t>(std::llround(config.schedule.decay * static_cast<double>(steps)));
  if (config.schedule.type == "wsd" && warmup + decay > steps)
    faults.push_back({{"schedule.warmup", "schedule.decay", "run.steps"},
                      "warm-up and decay together are longer than the run",
                      fmt::format("warmup {} + decay {} x steps {} = {} > {}", warmup, config.schedule.decay,
                                  steps, warmup + decay, steps),
                      "warmup + decay x steps <= steps",
                      fmt::format("schedule.warmup = {}", steps - decay)});
}

void check_precision(const PrecisionConfig& precision, Faults& faults) {
  if (precision.state != StateFormat::fp32 && precision.compute == ComputeType::fp32)
    faults.push_back(
        {{"precision.compute", "precision.state"},
         fmt::format("{} state keeps the weights as bf16, which fp32 products cannot use unrounded",
                     name(precision.state)),
         fmt::format("state \"{}\" with compute \"fp32\"", name(precision.state)),
         fmt::format("state \"{}\" only with compute \"bf16\"", name(precision.state)),
         "precision.state = \"fp32\" or precision.compute = \"bf16\""});
}

void check_validation(const Config& config, Faults& faults) {
  if (config.data.valid.empty() && config.data.valid_fraction == 0 && !config.eval.every.never())
    faults.push_back({{"data.valid", "data.valid_fraction", "eval.every"},
                      "evaluation is asked for and no text is kept for it",
                      "valid is empty, valid_fraction is 0, eval.every is not 0",
                      "validation files, or a part of the training text",
                      "data.valid_fraction = 0.02 or eval.every = 0"});
}

void check_adapter(const Config& config, Faults& faults) {
  if (config.adapter.type == AdapterType::none) return;
  if (config.model.from.empty())
    faults.push_back({{"adapter.type", "model.from"},
                      "adapters are trained beside a model that somebody trained",
                      "model.from is empty",
                      "a model to begin with",
                      "model.from = \"FOLDER\", or adapter.type = \"none\""});
  if (!config.optimizer.trainable.empty() || !config.optimizer.frozen.empty())
    faults.push_back(
        {{"adapter.type", "optimizer.trainable", "optimizer.frozen"},
         "with adapters the model is frozen and the adapters are trained: there is nothing to choose",
         fmt::format("trainable \"{}\", frozen \"{}\"", fmt::join(config.optimizer.trainable, "\", \""),
                     fmt::join(config.optimizer.frozen, "\", \"")),
         "empty lists",
         "remove optimizer.trainable and optimizer.frozen, or choose layers with adapter.target"});
}

void check_weights(const DataConfig& data, Faults& faults) {
  if (data.weights.empty()) return;
  if (data.weights.size() != data.train.size()) {
    faults.push_back(
        {{"data.train", "data.weights"},
         "the weights are not those of the training files",
         fmt::format("{} files, {} weights", data.train.size(), data.weights.size()),
         "one weight a file",
         fmt::format("data.weights = [{}]", fmt::join(std::vector<int>(data.train.size(), 1), ", "))});
    return;
  }
  const double sum = std::accumulate(data.weights.begin(), data.weights.end(), 0.0);
  for (size_t i = 0; i < data.weights.size(); ++i)
    if (data.weights[i] / sum * Mixture::kRound < 1)
      faults.push_back(
          {{"data.weights"},
           "a file's share is too small",
           fmt::format("{} of {} for {}", data.weights[i], sum, data.train[i]),
           fmt::format("at least one sample of {}", Mixture::kRound),
           fmt::format("raise it to {:.2g}, or leave the file out", sum / (Mixture::kRound - 1))});
}

// Keys that are set though another key makes them mean nothing.
void check_only_when(const Config& config, Faults& faults) {
  const Config defaults;
  for (const Key& key : key_table().keys()) {
    const OnlyWhen& condition = key.traits.only_when;
    if (condition.sibling.empty() || key.get(config) == key.get(defaults)) continue;
    const Key* sibling = key_table().find(fmt::format("{}.{}", key.section, condition.sibling));
    check(sibling != nullptr, "[config] {} depends on {}, which is no key", key.path, condition.sibling);
    const std::string value = std::get<std::string>(sibling->get(config));
    if (std::ranges::count(condition.values, value) != 0) continue;
    faults.push_back(
        {{key.path, sibling->path},
         fmt::format("{} has no effect here", key.path),
         fmt::format("{} = {} with {} = {}", key.path, to_toml(key.get(config)), sibling->path, quote(value)),
         fmt::format("{} = \"{}\"", sibling->path, fmt::join(condition.values, "\" or \"")),
         fmt::format("remove {}, or leave it at {}", key.path, to_toml(key.get(defaults)))});
  }
}

}  // namespace

Config resolve(Config config) {
  ModelConfig& model = config.model;
  if (config.run.out.empty()) config.run.out = "runs/" + config.run.name;
  if (model.kv_heads == 0) model.kv_heads = model.heads;
  if (model.head_dim == 0 && model.heads > 0 && model.hidden % model.heads == 0)
    model.head_dim = model.hidden / model.heads;
  if (model.ffn == 0)
    model.ffn = model.arch == "gpt2" ? 4 * model.hidden : round_up(div_up(8 * model.hidden, 3), 64);
  if (model.max_positions == 0) model.max_positions = config.data.seq_len;
  return config;
}

std::vector<CrossFault> cross_check(const Config& config) {
  Faults faults;
  check_name(config.run, faults);
  check_heads(config.model, faults);
  check_arch(config.model, faults);
  check_positions(config, faults);
  check_loss(config, faults);
  check_batch(config, faults);
  check_schedule(config, faults);
  check_precision(config.precision, faults);
  check_validation(config, faults);
  check_adapter(config, faults);
  check_weights(config.data, faults);
  check_only_when(config, faults);
  return faults;
}

}  // namespace strata
