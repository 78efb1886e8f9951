// SPDX-License-Identifier: Apache-2.0
#include "launch/train/precision.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "checkpoint/adapters/mapped_source.h"
#include "core/base/error.h"
#include "launch/train/measured_layers.h"

namespace strata {
namespace {

constexpr std::string_view kHistory = "amax";  // what checkpoints call the state

}  // namespace

int64_t product_tokens(const Config& config) {
  return config.batch.micro_batch * config.data.seq_len / config.parallel.cp;
}

RecipeOptions recipe_options(const Config& config) {
  const PrecisionConfig& precision = config.precision;
  const std::array<std::string, 3> known = {"forward", "backward_input", "backward_weight"};
  for (const std::string& product : precision.products)
    if (std::find(known.begin(), known.end(), product) == known.end())
      throw Error(Fault::usage, {.what = "a linear layer has no such product",
                                 .where = "precision.products",
                                 .found = fmt::format("\"{}\"", product),
                                 .expected = "some of forward, backward_input, backward_weight",
                                 .fix = "correct or remove it"});
  const auto wanted = [&](const std::string& product) {
    return std::find(precision.products.begin(), precision.products.end(), product) !=
           precision.products.end();
  };
  RecipeOptions options{.name = precision.recipe,
                        .forward = wanted(known[0]),
                        .backward_input = wanted(known[1]),
                        .backward_weight = wanted(known[2]),
                        .high_precision = precision.high_precision,
                        .keep_first = precision.keep_first,
                        .keep_last = precision.keep_last,
                        .smallest = precision.smallest,
                        .gather_codes = precision.gather == "fp8"};
  if (!precision.follow.empty())
    options.measured = read_measured_layers(precision.follow, precision.recipe, product_tokens(config));
  if (precision.scales == "fp32") options.scales = ScaleKind::f32;
  if (precision.scales == "pow2") options.scales = ScaleKind::pow2;
  return options;
}

std::vector<std::string> followed(const Config& config, const Model& model) {
  std::vector<std::string> lines;
  if (config.precision.compute != ComputeType::fp8 || config.precision.follow.empty()) return lines;
  std::vector<std::pair<std::string, int>> kinds;  // and how many layers
  for (const auto& block : model.blocks)
    for (const Parameter& parameter : block->parameters()) {
      const LinearRecipe& recipe = parameter.recipe;
      if (recipe.site < 0) continue;
      std::vector<std::string_view> products;
      if (recipe.forward.quantized) products.push_back("forward");
      if (recipe.backward_input.quantized) products.push_back("backward_input");
      if (recipe.backward_weight.quantized) products.push_back("backward_weight");
      std::string layer = parameter.name.substr(0, parameter.name.rfind('.'));
      if (constexpr std::string_view kLayers = "layers."; layer.starts_with(kLayers))
        layer.replace(kLayers.size(), layer.find('.', kLayers.size()) - kLayers.size(), "*");
      std::string kind =
          fmt::format("{:<28}{}", layer,
                      products.empty() ? "bf16" : fmt::format("{} in 8 bits", fmt::join(products, ", ")));
      const auto known =
          std::find_if(kinds.begin(), kinds.end(), [&](const auto& k) { return k.first == kind; });
      if (known == kinds.end())
        kinds.emplace_back(std::move(kind), 1);
      else
        ++known->second;
    }
  for (const auto& [kind, layers] : kinds) lines.push_back(fmt::format("{} ({} layers)", kind, layers));
  return lines;
}

RunPrecision::RunPrecision(const PrecisionConfig& precision, const Model& model, Allocator& memory,
                           Stream& stream) {
  if (precision.compute != ComputeType::fp8) return;
  for (const auto& block : model.blocks)
    for (const Parameter& parameter : block->parameters()) {
      if (parameter.recipe.site < 0) continue;
      layers_.push_back(parameter.name.substr(0, parameter.name.rfind('.')));
      if (parameter.recipe.delayed) delayed_sites_.push_back(parameter.recipe.site);
    }
  if (!delayed_sites_.empty())
    delayed_ = std::make_unique<DelayedScales>(
        DelayedOptions{.history = precision.history, .margin = narrow<int>(precision.margin)},
        gradient_formats(model), memory, stream);
  if (precision.counters)
    counters_ = std::make_unique<QuantizationCounters>(narrow<int>(layers_.size()), memory, stream);
  op_ = std::make_unique<QuantizedLinearOp>(delayed_.get(), counters_.get());
}

void RunPrecision::begin_step(Stream& stream) {
  if (delayed_) delayed_->begin_step(stream);
}

void RunPrecision::end_step(Stream& stream, Communicator& everyone, Stream& host) {
  if (!delayed_) return;
  delayed_->end_step(stream, [&](std::span<float> magnitudes) {
    if (everyone.size() == 1) return;
    const Tensor values =
        Tensor::borrow(magnitudes.data(), DType::f32, {static_cast<int64_t>(magnitudes.size())});
    everyone.all_reduce(host, values, Reduction::max);
    host.synchronize();
  });
}

bool is_scale_history(const TensorSpec& tensor) { return tensor.state == kHistory; }

std::vector<SaveItem> RunPrecision::save_items() {
  saved_.clear();
  std::vector<SaveItem> items;
  if (!delayed_ || delayed_->steps() == 0) return items;
  const Shape shape{2, delayed_->steps()};
  for (const int site : delayed_sites_) {
    saved_.push_back(delayed_->history(site));
    items.push_back({.tensor = {.name = layers_[static_cast<size_t>(site)],
                                .state = std::string(kHistory),
                                .type = ElementType::f32,
                                .shape = shape},
                     .rect = {{0, 0}, shape},
                     .data = reinterpret_cast<const std::byte*>(saved_.back().data())});
  }
  return items;
}

std::string RunPrecision::restore(const TensorSource& checkpoint, const Loading& loading) {
  if (!delayed_) return "";
  const MappedSource stored = select_tensors(checkpoint, is_scale_history);
  std::vector<std::vector<float>> histories(layers_.size());
  std::vector<RestoreItem> items;
  for (const int site : delayed_sites_) {
    const std::string& layer = layers_[static_cast<size_t>(site)];
    for (const TensorSpec& tensor : stored.tensors()) {
      if (tensor.name != layer) continue;
      const Shape& shape = tensor.shape;
      if (tensor.type != ElementType::f32 || shape.rank() != 2 || shape[0] != 2)
        throw Error(Fault::model, {.what = "a history of delayed scales is not of its form",
                                   .where = checkpoint.path(),
                                   .found = to_string(tensor),
                                   .expected = "f32 [2, steps]: of the layer's input and of its gradient",
                                   .fix = "begin with the weights alone: model.from in a new run"});
      auto& history = histories[static_cast<size_t>(site)];
      history.resize(static_cast<size_t>(shape.numel()));
      items.push_back({tensor, {{0, 0}, shape}, reinterpret_cast<std::byte*>(history.data())});
    }
  }
  if (!items.empty()) strata::restore(stored, loading.peers, items, loading.pool, {.ignore_extra = {"*"}});
  delayed_->restore(loading.stream, histories);
  if (items.size() == delayed_sites_.size()) return "";
  return fmt::format(
      "begin anew: the delayed scales of {} of {} layers, of which the checkpoint has no history\n",
      delayed_sites_.size() - items.size(), delayed_sites_.size());
}

std::map<std::string, std::map<std::string, QuantizedShare>> RunPrecision::shares(Stream& stream) {
  std::map<std::string, std::map<std::string, QuantizedShare>> shares;
  if (!counters_) return shares;
  const auto counts = counters_->take(stream);
  for (size_t i = 0; i < counts.size(); ++i)
    if (const auto& c = counts[i]; c.elements > 0)
      shares[layers_[i / 2]][i % 2 == 0 ? "x" : "dy"] = {c.saturated / c.elements, c.underflow / c.elements,
                                                         c.snr_db()};
  return shares;
}

}  // namespace strata
