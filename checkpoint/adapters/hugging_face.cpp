// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/hugging_face.h"

#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/adapters/model_tensors.h"
#include "checkpoint/adapters/tensor_finder.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/io/file_system.h"

namespace strata {
namespace {

// Names without ".weight" and ".bias"; '*' is the layer. `part` of `parts` equal ones of the foreign matrix's
// outputs. transposed: matrices are stored [in, out] there (GPT-2's Conv1D).
struct HfRule {
  std::string_view logical, foreign;
  bool transposed = false;
  int part = 0, parts = 1;
};

constexpr HfRule kLlama[] = {
    {"embedding", "embed_tokens"},
    {"layers.*.attention_norm", "layers.*.input_layernorm"},
    {"layers.*.attention.query", "layers.*.self_attn.q_proj"},
    {"layers.*.attention.key", "layers.*.self_attn.k_proj"},
    {"layers.*.attention.value", "layers.*.self_attn.v_proj"},
    {"layers.*.attention.query_norm", "layers.*.self_attn.q_norm"},
    {"layers.*.attention.key_norm", "layers.*.self_attn.k_norm"},
    {"layers.*.attention.output", "layers.*.self_attn.o_proj"},
    {"layers.*.mlp_norm", "layers.*.post_attention_layernorm"},
    {"layers.*.mlp.gate", "layers.*.mlp.gate_proj"},
    {"layers.*.mlp.up", "layers.*.mlp.up_proj"},
    {"layers.*.mlp.down", "layers.*.mlp.down_proj"},
    {"final_norm", "norm"},
};
constexpr HfRule kGpt2[] = {
    {"embedding", "wte"},
    {"position_embedding", "wpe"},
    {"layers.*.attention_norm", "h.*.ln_1"},
    {"layers.*.attention.query", "h.*.attn.c_attn", true, 0, 3},
    {"layers.*.attention.key", "h.*.attn.c_attn", true, 1, 3},
    {"layers.*.attention.value", "h.*.attn.c_attn", true, 2, 3},
    {"layers.*.attention.output", "h.*.attn.c_proj", true},
    {"layers.*.mlp_norm", "h.*.ln_2"},
    {"layers.*.mlp.up", "h.*.mlp.c_fc", true},
    {"layers.*.mlp.down", "h.*.mlp.c_proj", true},
    {"final_norm", "ln_f"},
};

struct Family {
  std::span<const HfRule> rules;
  std::string_view prefix;  // of all but the head
  std::string_view table;   // the stored name of the embedding
};
Family family_of(const HfModel& model) {
  return model.family == "gpt2" ? Family{kGpt2, "transformer.", "wte.weight"}
                                : Family{kLlama, "model.", "embed_tokens.weight"};
}
constexpr std::string_view kHfHead = "lm_head.weight";

// A logical tensor's place in the foreign model.
struct HfPlace {
  std::string name;
  bool transposed = false;
  int part = 0, parts = 1;
  Shape shape;  // of the whole foreign tensor
};

HfPlace hf_place(const Family& family, std::string_view prefix, const std::string& name, const Shape& shape) {
  if (name == "head.weight") return {.name = std::string(kHfHead), .shape = shape};
  const size_t dot = name.rfind('.');
  std::string stem = name.substr(0, dot), layer;
  if (stem.starts_with("layers.")) {
    const size_t end = stem.find('.', 7);
    layer = stem.substr(7, end - 7);
    stem = "layers.*" + stem.substr(end);
  }
  const auto rule = std::find_if(family.rules.begin(), family.rules.end(),
                                 [&](const HfRule& r) { return r.logical == stem; });
  check(rule != family.rules.end(), "[hugging face] no name for '{}'", name);
  std::string foreign(rule->foreign);
  if (const size_t star = foreign.find('*'); star != std::string::npos) foreign.replace(star, 1, layer);
  HfPlace place{.name = fmt::format("{}{}{}", prefix, foreign, name.substr(dot)),
                .transposed = rule->transposed && shape.rank() == 2,
                .part = rule->part,
                .parts = rule->parts,
                .shape = shape};
  place.shape.set(0, shape[0] * rule->parts);
  if (place.transposed) place.shape = {place.shape[1], place.shape[0]};
  return place;
}

// Buffers that old versions of transformers stored: masks and rotary frequencies.
bool computed(const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") || name.ends_with(".attn.bias") ||
         name.ends_with(".attn.masked_bias");
}

}  // namespace

HfMapping from_hugging_face(const HfModel& model, std::span<const TensorSpec> stored,
                            const std::string& where, const std::vector<std::string>& allow_missing) {
  const Family family = family_of(model);
  TensorFinder finder(stored, where, allow_missing);
  std::set<std::string> moments;  // states other than param
  // Before the names of transformers there may be one of the job that trained: "model.model.norm.weight".
  std::string prefix, outer;
  bool found_table = false;
  for (const TensorSpec& tensor : stored) {
    if (tensor.state != "param") moments.insert(tensor.state);
    const std::string_view before =
        std::string_view(tensor.name)
            .substr(0, tensor.name.size() - std::min(tensor.name.size(), family.table.size()));
    if (found_table || tensor.state != "param" || !tensor.name.ends_with(family.table) ||
        !(before.empty() || before.ends_with('.')))
      continue;
    found_table = true;
    prefix = before;
  }
  if (!found_table) prefix = family.prefix;
  HfMapping mapping;
  if (prefix.ends_with(family.prefix)) mapping.prefix = family.prefix;
  outer = prefix.substr(0, prefix.size() - mapping.prefix.size());
  for (const ModelTensor& tensor : model_tensors(model.spec)) {
    const HfPlace place = hf_place(family, mapping.prefix, tensor.name, tensor.shape);
    const auto add = [&](size_t from, const std::string& state) {
      MappedPiece piece =
          place.transposed ? transposed_piece(from, tensor.shape) : whole_piece(from, tensor.shape);
      piece.begin.set(place.transposed ? 1 : 0, place.part * tensor.shape[0]);
      mapping.tensors.push_back({{.name = tensor.name,
                                  .state = state,
                                  .type = stored[from].type,
                                  .shape = tensor.shape,
                                  .role = tensor.role},
                                 {piece}});
    };
    if (const auto from = finder.take(tensor.name, outer + place.name, place.shape)) add(*from, "param");
    for (const std::string& state : moments)
      if (const auto from = finder.take_state(outer + place.name, state, place.shape)) add(*from, state);
  }
  const auto table = finder.find(prefix + std::string(family.table));
  for (size_t t = 0; t < stored.size(); ++t) {
    if (finder.used(t)) continue;
    const char* reason = nullptr;
    if (stored[t].name == outer + std::string(kHfHead) && model.spec.tied && table) {
      reason = "tied to the embedding";
      if (stored[t].state == "param") mapping.twins.emplace_back(t, *table);
    } else if (computed(stored[t].name)) {
      reason = "computed from the configuration";
    } else if (stored[t].name.starts_with("optim.")) {
      reason = "the optimizer's";
    } else {
      continue;
    }
    finder.leave(t);
    mapping.dropped.push_back(fmt::format("{}: {}", to_string(stored[t]), reason));
  }
  finder.finish();
  mapping.missing = finder.take_missing();
  return mapping;
}

HfMapping to_hugging_face(const HfModel& model, std::span<const TensorSpec> stored, const std::string& where,
                          const std::optional<std::string>& prefix,
                          const std::vector<std::string>& allow_missing) {
  const Family family = family_of(model);
  HfMapping mapping{.prefix = prefix.value_or(std::string(family.prefix))};
  TensorFinder finder(stored, where, allow_missing);
  std::set<std::string> states;
  for (const TensorSpec& tensor : stored)
    if (tensor.state != "param") states.insert(tensor.state);
  std::map<std::pair<std::string, std::string>, size_t>
      made;  // by foreign name and state: of mapping.tensors
  for (const ModelTensor& tensor : model_tensors(model.spec)) {
    const HfPlace place = hf_place(family, mapping.prefix, tensor.name, tensor.shape);
    const auto add = [&](size_t from, const std::string& state) {
      const auto [target, fresh] = made.emplace(std::pair(place.name, state), mapping.tensors.size());
      if (fresh)
        mapping.tensors.push_back(
            {{.name = place.name, .state = state, .type = stored[from].type, .shape = place.shape}, {}});
      Shape extent = tensor.shape;
      if (place.transposed) extent = {extent[1], extent[0]};
      MappedPiece piece = place.transposed ? transposed_piece(from, extent) : whole_piece(from, extent);
      piece.target.begin.set(place.transposed ? 1 : 0, place.part * tensor.shape[0]);
      mapping.tensors[target->second].pieces.push_back(piece);
    };
    if (const auto from = finder.take(tensor.name, tensor.name, tensor.shape)) add(*from, "param");
    for (const std::string& state : states)
      if (const auto from = finder.take_state(tensor.name, state, tensor.shape)) add(*from, state);
  }
  finder.finish();
  mapping.missing = finder.take_missing();
  return mapping;
}

namespace {

// `name` by `to` where it fits `from`, which may hold one '*' for a number.
std::optional<std::string> renumbered(const std::string& name, std::string_view from, std::string_view to) {
  const size_t star = from.find('*'), behind = from.size() - star - 1;
  if (star == std::string_view::npos) return name == from ? std::optional<std::string>(to) : std::nullopt;
  if (name.size() <= star + behind || !name.starts_with(from.substr(0, star)) ||
      !name.ends_with(from.substr(star + 1)))
    return std::nullopt;
  const std::string number = name.substr(star, name.size() - star - behind);
  if (number.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  std::string renamed(to);
  return renamed.replace(renamed.find('*'), 1, number);
}

constexpr std::string_view kLlamaHead = kHfHead.substr(0, kHfHead.rfind('.'));

}  // namespace

std::optional<std::string> hugging_face_module(const std::string& logical) {
  if (logical == "head") return std::string(kLlamaHead);
  for (const HfRule& rule : kLlama)
    if (auto found = renumbered(logical, rule.logical, rule.foreign)) return "model." + *found;
  return std::nullopt;
}

std::optional<std::string> logical_module(const std::string& hugging_face) {
  if (hugging_face == kLlamaHead) return "head";
  if (!hugging_face.starts_with("model.")) return std::nullopt;
  for (const HfRule& rule : kLlama)
    if (auto found = renumbered(hugging_face.substr(6), rule.foreign, rule.logical)) return found;
  return std::nullopt;
}

bool is_hugging_face_linear(std::string_view tensor) { return tensor.ends_with("_proj.weight"); }

std::vector<Asset> hf_assets(FileSystem& files, const std::string& folder) {
  constexpr int64_t kAssetBytes = int64_t{64} << 20;
  std::vector<Asset> assets;
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
                           "tokenizer.model", "chat_template.jinja", "chat_template.json"}) {
    const std::string path = folder + "/" + name;
    if (files.is_link(path))
      throw Error(Fault::model, {.what = "a file of the model is a symbolic link",
                                 .where = path,
                                 .fix = "copy the folder with its links resolved: cp -rL"});
    const auto info = files.info(path);
    if (!info || info->type != FileInfo::Type::file) continue;
    if (info->bytes > kAssetBytes)
      throw Error(Fault::model, {.what = "a file beside the weights is too large",
                                 .where = path,
                                 .found = fmt::format("{} bytes", info->bytes),
                                 .expected = fmt::format("at most {}", kAssetBytes)});
    assets.push_back({name, read_file(files, path)});
  }
  return assets;
}

}  // namespace strata
