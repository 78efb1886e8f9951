// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/megatron_names.h"

#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/adapters/model_tensors.h"
#include "checkpoint/adapters/tensor_finder.h"
#include "checkpoint/adapters/torch_state.h"
#include "core/base/check.h"

namespace strata {
namespace {

constexpr std::string_view kWordEmbeddings = "embedding.word_embeddings.weight",
                           kOutputLayer = "output_layer.weight", kDecoderLayers = "decoder.layers.",
                           kMoments = "optimizer.state.";

// Of ours, without "layers.<n>." and ".weight" or ".bias"; theirs, and what it is called when the norm is
// fused with the matrix behind it: "<fused>.layer_norm_weight".
struct MegatronRule {
  std::string_view ours, theirs, fused = {};
};
constexpr MegatronRule kRules[] = {
    {"attention_norm", "input_layernorm", "self_attention.linear_qkv"},
    {"attention.query", "self_attention.linear_qkv"},
    {"attention.key", "self_attention.linear_qkv"},
    {"attention.value", "self_attention.linear_qkv"},
    {"attention.query_norm", "self_attention.q_layernorm"},
    {"attention.key_norm", "self_attention.k_layernorm"},
    {"attention.output", "self_attention.linear_proj"},
    {"mlp_norm", "pre_mlp_layernorm", "mlp.linear_fc1"},
    {"mlp.gate", "mlp.linear_fc1"},
    {"mlp.up", "mlp.linear_fc1"},
    {"mlp.down", "mlp.linear_fc2"},
    {"embedding", "embedding.word_embeddings"},
    {"position_embedding", "embedding.position_embeddings"},
    {"final_norm", "decoder.final_layernorm"},
    {"head", "output_layer"},
};

// "layers.3.mlp.up.weight": the layer, what it is there, and which of its tensors.
struct MegatronPlace {
  std::optional<int64_t> layer;
  std::string ours;  // "mlp.up"
  std::string kind;  // "weight"
  const MegatronRule* rule = nullptr;

  std::string plain() const { return fmt::format("{}.{}", rule->theirs, kind); }
  std::string fused() const { return fmt::format("{}.layer_norm_{}", rule->fused, kind); }
};
MegatronPlace megatron_place(const std::string& name) {
  MegatronPlace place{.ours = name};
  if (name.starts_with("layers.")) {
    const size_t end = name.find('.', 7);
    place.layer = std::stoll(name.substr(7, end - 7));
    place.ours.erase(0, end + 1);
  }
  place.kind = place.ours.substr(place.ours.rfind('.') + 1);
  place.ours.resize(place.ours.size() - place.kind.size() - 1);
  place.rule = std::find_if(std::begin(kRules), std::end(kRules),
                            [&](const MegatronRule& rule) { return rule.ours == place.ours; });
  check(place.rule != std::end(kRules), "[megatron] no name for '{}'", name);
  return place;
}

// What a stored tensor is: a parameter, or what an optimizer keeps for one. The fp32 copy of a parameter is
// the parameter, and what is stored as that a rounded one.
std::vector<TensorSpec> parameters_and_states(std::span<const TensorSpec> stored) {
  std::vector<TensorSpec> named(stored.begin(), stored.end());
  std::set<std::string> exact;
  for (TensorSpec& tensor : named) {
    if (!tensor.name.starts_with(kMoments)) continue;
    const size_t dot = tensor.name.find('.', kMoments.size());
    if (dot == std::string::npos || tensor.state != "param") continue;
    tensor.state = state_of_torch(tensor.name.substr(kMoments.size(), dot - kMoments.size()));
    tensor.name.erase(0, dot + 1);
    if (tensor.state == "fp32_param") exact.insert(tensor.name);
  }
  for (TensorSpec& tensor : named) {
    if (!exact.contains(tensor.name)) continue;
    if (tensor.state == "param")
      tensor.state = "rounded";
    else if (tensor.state == "fp32_param")
      tensor.state = "param";
  }
  return named;
}

// Rows of the stored matrix (of one layer) that are consecutive rows of ours.
struct Rows {
  int64_t from, count;
};
std::vector<Rows> rows_of(const ModelSpec& spec, std::string_view ours, int64_t rows) {
  const int64_t queries = spec.heads / spec.kv_heads, group = (queries + 2) * spec.head_dim;
  const bool query = ours == "attention.query", key = ours == "attention.key";
  if (query || key || ours == "attention.value") {
    std::vector<Rows> cut;
    const int64_t first = query ? 0 : (key ? queries : queries + 1) * spec.head_dim;
    for (int64_t g = 0; g < spec.kv_heads; ++g)
      cut.push_back({g * group + first, (query ? queries : 1) * spec.head_dim});
    return cut;
  }
  return {{ours == "mlp.up" && spec.arch != "gpt2" ? rows : 0, rows}};
}

// Of the stored tensor's rows, those of all its parts.
int64_t stored_rows(const ModelSpec& spec, std::string_view ours, int64_t rows) {
  if (ours.starts_with("attention.") &&
      (ours.ends_with("query") || ours.ends_with("key") || ours.ends_with("value")))
    return (spec.heads + 2 * spec.kv_heads) * spec.head_dim;
  return ours == "mlp.gate" || (ours == "mlp.up" && spec.arch != "gpt2") ? 2 * rows : rows;
}

}  // namespace

bool has_megatron_names(std::span<const TensorSpec> stored) {
  bool table = false, layers = false;
  for (const TensorSpec& tensor : stored) {
    table = table || tensor.name == kWordEmbeddings;
    layers = layers || tensor.name.starts_with(kDecoderLayers);
  }
  return table && layers;
}

HfMapping from_megatron(const HfModel& model, std::span<const TensorSpec> stored, const std::string& where,
                        const std::vector<std::string>& allow_missing) {
  const ModelSpec& spec = model.spec;
  const std::vector<TensorSpec> named = parameters_and_states(stored);
  TensorFinder finder(named, where, allow_missing);
  std::set<std::string> states;
  for (const TensorSpec& tensor : named)
    if (tensor.state != "param" && tensor.state != "rounded") states.insert(tensor.state);
  HfMapping mapping;
  for (const ModelTensor& tensor : model_tensors(spec)) {
    const MegatronPlace place = megatron_place(tensor.name);
    const std::optional<int64_t>& layer = place.layer;
    const std::string& ours = place.ours;
    const std::string plain = place.plain(), fused = place.fused();
    // Stacked or not, fused or not: the one that is there.
    std::string name = layer ? fmt::format("{}{}.{}", kDecoderLayers, *layer, plain) : plain;
    bool stacked = false;
    for (const std::string& suffix : {plain, fused}) {
      if (!layer) break;
      const std::string together = std::string(kDecoderLayers) + suffix,
                        alone = fmt::format("{}{}.{}", kDecoderLayers, *layer, suffix);
      if (finder.find(together) || finder.find(alone)) {
        stacked = finder.find(together).has_value();
        name = stacked ? together : alone;
        break;
      }
    }
    Shape shape = tensor.shape;
    shape.set(0, stored_rows(spec, ours, shape[0]));
    if (const auto at = finder.find(name); at && (ours == "embedding" || ours == "head"))
      shape.set(0, std::max(shape[0], named[*at].shape.rank() > 0 ? named[*at].shape[0] : 0));  // padded
    Shape whole;
    if (stacked) whole.append(spec.layers);
    for (const int64_t extent : shape) whole.append(extent);
    const int skip = stacked ? 1 : 0;
    const auto add = [&](size_t from, const std::string& state) {
      MappedTensor made{{.name = tensor.name,
                         .state = state,
                         .type = named[from].type,
                         .shape = tensor.shape,
                         .role = tensor.role},
                        {}};
      int64_t at = 0;
      for (const Rows& rows : rows_of(spec, ours, tensor.shape[0])) {
        MappedPiece piece{.from = from, .begin = whole, .target = Rect::whole(tensor.shape)};
        for (int d = 0; d < whole.rank(); ++d) piece.begin.set(d, 0);
        if (stacked) piece.begin.set(0, *layer);
        piece.begin.set(skip, rows.from);
        for (int d = 0; d < tensor.shape.rank(); ++d)
          piece.axes[static_cast<size_t>(d)] = static_cast<int8_t>(d + skip);
        piece.target.begin.set(0, at);
        piece.target.extent.set(0, rows.count);
        at += rows.count;
        made.pieces.push_back(piece);
      }
      mapping.tensors.push_back(std::move(made));
    };
    if (const auto from = finder.take(tensor.name, name, whole)) add(*from, "param");
    for (const std::string& state : states)
      if (const auto from = finder.take_state(name, state, whole)) add(*from, state);
  }
  const auto table = finder.find(std::string(kWordEmbeddings));
  for (size_t t = 0; t < named.size(); ++t) {
    if (finder.used(t)) continue;
    const char* reason = nullptr;
    if (named[t].state == "rounded")
      reason = "a copy of the fp32 parameter, rounded";
    else if (named[t].name == kOutputLayer && spec.tied && table)
      reason = "tied to the embedding";
    else if (named[t].name.find("_extra_state") != std::string::npos ||
             named[t].name.starts_with("rng_state"))
      reason = "a program's own";
    else if (named[t].name.starts_with("optimizer."))
      reason = "the optimizer's";
    else
      continue;
    if (named[t].name == kOutputLayer && named[t].state == "param" && table)
      mapping.twins.emplace_back(t, *table);
    finder.leave(t);
    mapping.dropped.push_back(fmt::format("{}: {}", to_string(stored[t]), reason));
  }
  finder.finish();
  mapping.missing = finder.take_missing();
  return mapping;
}

std::vector<MappedTensor> to_megatron(const HfModel& model, std::span<const TensorSpec> stored,
                                      const std::string& where) {
  const ModelSpec& spec = model.spec;
  const std::vector<std::string> all_there;
  TensorFinder finder(stored, where, all_there);
  std::set<std::string> states;
  for (const TensorSpec& tensor : stored)
    if (tensor.state != "param") states.insert(tensor.state);
  std::vector<MappedTensor> tensors;
  std::map<std::string, size_t> made;  // by name: of `tensors`
  for (const ModelTensor& tensor : model_tensors(spec)) {
    const MegatronPlace place = megatron_place(tensor.name);
    const std::string name = place.layer ? std::string(kDecoderLayers) +
                                               (place.rule->fused.empty() ? place.plain() : place.fused())
                                         : place.plain();
    Shape whole;
    if (place.layer) whole.append(spec.layers);
    for (const int64_t extent : tensor.shape) whole.append(extent);
    const int skip = place.layer ? 1 : 0;
    whole.set(skip, stored_rows(spec, place.ours, tensor.shape[0]));
    const auto add = [&](size_t from, const std::string& foreign) {
      const auto [at, fresh] = made.emplace(foreign, tensors.size());
      if (fresh) tensors.push_back({{.name = foreign, .type = stored[from].type, .shape = whole}, {}});
      int64_t row = 0;
      for (const Rows& rows : rows_of(spec, place.ours, tensor.shape[0])) {
        MappedPiece piece = whole_piece(from, tensor.shape);
        piece.begin.set(0, row);
        piece.target = Rect::whole(whole);
        if (place.layer) {
          piece.axes = {MappedPiece::kNew, 0, 1, 2, 3};
          piece.target.begin.set(0, *place.layer);
          piece.target.extent.set(0, 1);
        }
        piece.target.begin.set(skip, rows.from);
        piece.target.extent.set(skip, rows.count);
        row += rows.count;
        tensors[at->second].pieces.push_back(piece);
      }
    };
    if (const auto from = finder.take(tensor.name, tensor.name, tensor.shape)) add(*from, name);
    for (const std::string& state : states)
      if (const auto from = finder.take_state(tensor.name, state, tensor.shape))
        add(*from, fmt::format("{}{}.{}", kMoments, torch_state(state), name));
  }
  finder.finish();
  return tensors;
}

}  // namespace strata
