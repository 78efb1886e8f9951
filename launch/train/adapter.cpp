// SPDX-License-Identifier: Apache-2.0
#include "launch/train/adapter.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"

namespace strata {
namespace {

// What transformers calls a layer, and which of ours it is.
struct ForeignLayer {
  std::string_view foreign, logical;
};
constexpr ForeignLayer kForeign[] = {
    {"q_proj", "attention.query"},
    {"k_proj", "attention.key"},
    {"v_proj", "attention.value"},
    {"o_proj", "attention.output"},
    {"gate_proj", "mlp.gate"},
    {"up_proj", "mlp.up"},
    {"down_proj", "mlp.down"},
    {"c_attn", "attention.query"},
    {"c_attn", "attention.key"},
    {"c_attn", "attention.value"},
    {"attn.c_proj", "attention.output"},
    {"c_fc", "mlp.up"},
    {"mlp.c_proj", "mlp.down"},
    {"all-linear", "*"},
    {"lm_head", "head"},
    {"embed_tokens", "embedding"},
    {"wte", "embedding"},
    {"wpe", "position_embedding"},
    {"input_layernorm", "attention_norm"},
    {"post_attention_layernorm", "mlp_norm"},
    {"q_norm", "query_norm"},
    {"k_norm", "key_norm"},
    {"norm", "final_norm"},
    {"ln_f", "final_norm"},
    {"ln_1", "attention_norm"},
    {"ln_2", "mlp_norm"},
};

// Layers as we call them.
std::vector<std::string> logical_names(const std::vector<std::string>& layers) {
  std::vector<std::string> names;
  for (const std::string& given : layers) {
    const size_t before = names.size();
    for (const ForeignLayer& layer : kForeign)
      if (given == layer.foreign) names.emplace_back(layer.logical);
    if (names.size() == before) names.push_back(given);
  }
  return names;
}

// Names of a model's linear layers that hold adapters, or could.
std::set<std::string> layers_of(const Model& model) {
  std::set<std::string> names;
  for (int block = 1; block + 1 < model.num_blocks(); ++block)
    for (const Parameter& parameter : model.parameters(block))
      if (parameter.multiplied)
        for (const LogicalTensor& piece : parameter.pieces)
          names.insert(piece.name.substr(0, piece.name.rfind('.')));
  return names;
}

}  // namespace

LoraSpec lora_spec(const AdapterConfig& adapter, int64_t seed) {
  if (adapter.type != AdapterType::lora) return {};
  const auto rank = static_cast<double>(adapter.rank);
  return {.rank = adapter.rank,
          .scale = static_cast<float>(adapter.alpha / (adapter.rank_stabilized ? std::sqrt(rank) : rank)),
          .dropout = static_cast<float>(adapter.dropout),
          .seed = static_cast<uint64_t>(seed),
          .targets = logical_names(adapter.target),
          .whole = logical_names(adapter.trained_whole)};
}

namespace {

// Of layers that are trained whole.
void check_whole(const Model& model) {
  std::set<std::string> layers;
  for (int block = 0; block < model.num_blocks(); ++block)
    for (const Parameter& parameter : model.parameters(block))
      for (const LogicalTensor& piece : parameter.pieces)
        if (parameter.role != Role::adapter) layers.insert(piece.name.substr(0, piece.name.rfind('.')));
  for (const std::string& pattern : model.spec.lora.whole)
    if (std::none_of(layers.begin(), layers.end(),
                     [&](const std::string& layer) { return lora_pattern_matches(pattern, layer); }))
      throw Error(Fault::usage,
                  {.what = "no layer of the model is what is to be trained whole",
                   .where = "adapter.trained_whole",
                   .found = fmt::format("\"{}\"", pattern),
                   .expected = model.tied() || model.twin_table()
                                   ? "embedding, final_norm, or layers such as mlp_norm; the head of this "
                                     "model is its embedding"
                                   : "embedding, head, final_norm, or layers such as mlp_norm",
                   .fix = "adapter.trained_whole = [\"embedding\"]"});
}

}  // namespace

void check_lora_targets(const Model& model) {
  if (model.spec.lora.rank == 0) return;
  const std::set<std::string> layers = layers_of(model);
  const auto refuse = [&](const std::string& found) {
    std::set<std::string> kinds;
    for (const std::string& layer : layers) kinds.insert(layer.substr(layer.find('.', 7) + 1));
    throw Error(Fault::usage, {.what = "no layer of the model is what the adapters are for",
                               .where = "adapter.target",
                               .found = found,
                               .expected = fmt::format("all-linear, or some of {}", fmt::join(kinds, ", ")),
                               .fix = "adapter.target = [\"all-linear\"]"});
  };
  for (const std::string& target : model.spec.lora.targets)
    if (std::none_of(layers.begin(), layers.end(),
                     [&](const std::string& layer) { return lora_pattern_matches(target, layer); }))
      refuse(fmt::format("\"{}\"", target));
  if (model.spec.lora.targets.empty()) refuse("an empty list");
}

void choose_trained(const Config& config, Model& model) {
  check_lora_targets(model);
  if (model.spec.lora.rank > 0) {
    check_whole(model);
    model.freeze_base();
    constexpr WeightFormat kFormats[] = {WeightFormat::none, WeightFormat::int8, WeightFormat::nf4};
    model.keep_in_blocks(kFormats[static_cast<size_t>(config.adapter.base_weights)]);
  }
  if (!config.optimizer.trainable.empty()) model.train_only(config.optimizer.trainable);
  model.freeze(config.optimizer.frozen);
  bool trains = false;
  for (int block = 0; block < model.num_blocks(); ++block)
    for (const Parameter& parameter : model.parameters(block)) trains = trains || parameter.trainable;
  if (!trains)
    throw Error(Fault::usage, {.what = "every tensor is frozen: there is nothing to train",
                               .where = "optimizer.frozen",
                               .found = fmt::format("\"{}\"", fmt::join(config.optimizer.frozen, "\", \"")),
                               .fix = "leave some tensors out of it"});
}

}  // namespace strata
