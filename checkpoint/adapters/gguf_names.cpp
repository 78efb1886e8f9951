// SPDX-License-Identifier: Apache-2.0
// Names: llama.cpp, gguf-py/gguf/constants.py (TENSOR_NAMES).
#include "checkpoint/adapters/gguf_names.h"

#include <algorithm>

#include "checkpoint/adapters/model_tensors.h"
#include "checkpoint/adapters/tensor_finder.h"
#include "core/base/check.h"

namespace strata {
namespace {

// Names without ".weight" and ".bias"; '*' is the layer. `part` of `parts` equal ones of the stored rows.
struct GgufRule {
  std::string_view logical, stored;
  int part = 0, parts = 1;
};

constexpr GgufRule kRules[] = {
    {"embedding", "token_embd"},
    {"position_embedding", "position_embd"},
    {"layers.*.attention_norm", "blk.*.attn_norm"},
    {"layers.*.attention.query", "blk.*.attn_q"},
    {"layers.*.attention.key", "blk.*.attn_k"},
    {"layers.*.attention.value", "blk.*.attn_v"},
    {"layers.*.attention.query_norm", "blk.*.attn_q_norm"},
    {"layers.*.attention.key_norm", "blk.*.attn_k_norm"},
    {"layers.*.attention.output", "blk.*.attn_output"},
    {"layers.*.mlp_norm", "blk.*.ffn_norm"},
    {"layers.*.mlp.gate", "blk.*.ffn_gate"},
    {"layers.*.mlp.up", "blk.*.ffn_up"},
    {"layers.*.mlp.down", "blk.*.ffn_down"},
    {"final_norm", "output_norm"},
    {"head", "output"},
};
constexpr GgufRule kFusedRules[] = {
    {"layers.*.attention.query", "blk.*.attn_qkv", 0, 3},
    {"layers.*.attention.key", "blk.*.attn_qkv", 1, 3},
    {"layers.*.attention.value", "blk.*.attn_qkv", 2, 3},
};

struct GgufPlace {
  std::string name;
  GgufRule rule;
  Shape shape;  // of the whole stored tensor
};

GgufPlace gguf_place(bool fused, const std::string& name, const Shape& shape) {
  const size_t dot = name.rfind('.');
  std::string stem = name.substr(0, dot), layer;
  if (stem.starts_with("layers.")) {
    const size_t end = stem.find('.', 7);
    layer = stem.substr(7, end - 7);
    stem = "layers.*" + stem.substr(end);
  }
  const auto is_it = [&](const GgufRule& rule) { return rule.logical == stem; };
  const GgufRule* rule = std::find_if(std::begin(kFusedRules), std::end(kFusedRules), is_it);
  if (!fused || rule == std::end(kFusedRules)) {
    rule = std::find_if(std::begin(kRules), std::end(kRules), is_it);
    check(rule != std::end(kRules), "[gguf] no name for '{}'", name);
  }
  std::string stored(rule->stored);
  if (const size_t star = stored.find('*'); star != std::string::npos) stored.replace(star, 1, layer);
  GgufPlace place{.name = stored + name.substr(dot), .rule = *rule, .shape = shape};
  place.shape.set(0, shape[0] * rule->parts);
  return place;
}

// Queries and keys whose heads these files keep in another order.
bool rotates(const HfModel& model, const GgufRule& rule) {
  const bool rotated = rule.stored == "blk.*.attn_q" || rule.stored == "blk.*.attn_k";
  return (model.family == "llama" || model.family == "mistral") && rotated;
}

}  // namespace

GgufMapping from_gguf(const HfModel& model, std::span<const TensorSpec> stored, const std::string& where,
                      const std::vector<std::string>& allow_missing) {
  TensorFinder finder(stored, where, allow_missing);
  GgufMapping mapping;
  for (ModelTensor& tensor : model_tensors(model.spec)) {
    const GgufPlace place = gguf_place(model.family == "gpt2", tensor.name, tensor.shape);
    const auto found = finder.take(tensor.name, place.name, place.shape);
    if (!found) continue;
    if (rotates(model, place.rule)) mapping.head_rows.emplace(*found, model.spec.head_dim);
    MappedPiece piece = whole_piece(*found, tensor.shape);
    piece.begin.set(0, place.rule.part * tensor.shape[0]);
    mapping.tensors.push_back({{.name = std::move(tensor.name),
                                .type = stored[*found].type,
                                .shape = tensor.shape,
                                .role = std::move(tensor.role)},
                               {piece}});
  }
  if (const auto frequencies = finder.find("rope_freqs.weight")) {
    finder.leave(*frequencies);
    mapping.dropped.push_back(to_string(stored[*frequencies]) + ": computed from the configuration");
  }
  finder.finish();
  mapping.missing = finder.take_missing();
  return mapping;
}

GgufMapping to_gguf(const HfModel& model, std::span<const TensorSpec> ours, const std::string& where) {
  const std::vector<std::string> all_there;
  TensorFinder finder(ours, where, all_there);
  GgufMapping mapping;
  std::map<std::string, size_t> stored;  // by name, of those with a first part
  for (const ModelTensor& tensor : model_tensors(model.spec)) {
    const auto found = finder.take(tensor.name, tensor.name, tensor.shape);
    if (!found) continue;
    const GgufPlace place = gguf_place(model.family == "gpt2", tensor.name, tensor.shape);
    if (rotates(model, place.rule)) mapping.head_rows.emplace(*found, model.spec.head_dim);
    const auto [at, first] = stored.emplace(place.name, mapping.tensors.size());
    if (first)
      mapping.tensors.push_back(
          {{.name = place.name, .type = ours[*found].type, .shape = place.shape, .role = tensor.role}, {}});
    MappedPiece piece = whole_piece(*found, tensor.shape);
    piece.target.begin.set(0, place.rule.part * tensor.shape[0]);
    mapping.tensors[at->second].pieces.push_back(piece);
  }
  finder.finish();
  return mapping;
}

}  // namespace strata
