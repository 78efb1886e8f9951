// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/peft.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "checkpoint/adapters/hugging_face.h"
#include "checkpoint/adapters/model_tensors.h"
#include "core/base/error.h"
#include "core/nn/lora.h"

namespace strata {
namespace {

constexpr std::string_view kBefore = "base_model.model.";

struct End {
  std::string_view ours, theirs;
};
constexpr End kEnds[] = {{kLoraA, ".lora_A.weight"}, {kLoraB, ".lora_B.weight"}};

[[noreturn]] void refuse(std::string what, const std::string& where, std::string found,
                         std::string expected) {
  throw Error(
      Fault::model,
      {.what = std::move(what), .where = where, .found = std::move(found), .expected = std::move(expected)});
}

constexpr std::string_view kPeftTable = "base_model.model.model.embed_tokens.weight",
                           kPeftHead = "base_model.model.lm_head.weight";
bool has(std::span<const TensorSpec> stored, std::string_view name) {
  return std::any_of(stored.begin(), stored.end(), [&](const TensorSpec& t) { return t.name == name; });
}

// "model.layers.3.self_attn.q_proj" of "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight".
std::string module_of(const std::string& name, std::string_view end) {
  return name.substr(kBefore.size(), name.size() - kBefore.size() - end.size());
}

// ".weight", or nothing.
std::string ending_of(const std::string& name) { return name.substr(std::min(name.rfind('.'), name.size())); }

// Whether a tensor is of one of peft's modules_to_save: modules' names end so, be it in the middle of a word.
bool is_whole(std::span<const std::string> ends, const std::string& name) {
  const std::string ending = ending_of(name);
  if (!name.starts_with(kBefore) || name.size() <= kBefore.size() + ending.size()) return false;
  const std::string module = module_of(name, ending);
  return std::any_of(ends.begin(), ends.end(), [&](const auto& end) { return module.ends_with(end); });
}

bool has_value(const nlohmann::json& config, const char* key) {
  const auto at = config.find(key);
  return at != config.end() && !at->is_null() && *at != false && !(at->is_structured() && at->empty());
}

// Our name of a tensor of a module that is trained whole; nothing for others.
std::optional<std::string> whole_name(const AdapterInfo& info, const TensorSpec& tensor) {
  const std::string ending = ending_of(tensor.name);
  if (!is_whole(info.whole, tensor.name)) return std::nullopt;
  const std::optional<std::string> layer = logical_module(module_of(tensor.name, ending));
  return layer ? std::optional(*layer + ending) : std::nullopt;
}

}  // namespace

double AdapterInfo::scale() const {
  const auto r = static_cast<double>(rank);
  return alpha / (rank_stabilized ? std::sqrt(r) : r);
}

std::optional<AdapterInfo> adapter_info(const nlohmann::json& metadata) {
  try {
    const auto at = metadata.find("adapter");
    if (at == metadata.end()) return std::nullopt;
    AdapterInfo info{.rank = at->at("rank"),
                     .alpha = at->at("alpha"),
                     .rank_stabilized = at->at("rank_stabilized"),
                     .dropout = at->value("dropout", 0.0),
                     .tied = at->value("tied", false)};
    if (const auto base = metadata.find("base"); base != metadata.end()) info.base = base->at("path");
    return info;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

nlohmann::json to_json(const AdapterInfo& info) {
  return {{"rank", info.rank},
          {"alpha", info.alpha},
          {"rank_stabilized", info.rank_stabilized},
          {"dropout", info.dropout},
          {"tied", info.tied}};
}

AdapterInfo parse_peft_config(const nlohmann::json& config, const std::string& where) {
  try {
    if (config.at("peft_type") != "LORA")
      refuse("these adapters are of a kind that we do not have", where,
             "peft_type = " + config.at("peft_type").dump(), "\"LORA\"");
    for (const char* key :
         {"use_dora", "lora_bias", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "layer_replication",
          "trainable_token_indices", "target_parameters", "use_qalora", "alora_invocation_tokens"})
      if (has_value(config, key))
        refuse("these adapters compute something else than ours", where,
               fmt::format("{} = {}", key, config.at(key).dump()), "LoRA beside linear layers, nothing else");
    if (config.value("bias", "none") != "none")
      refuse("these adapters train biases", where, "bias = " + config.at("bias").dump(), "\"none\"");
    AdapterInfo info{.rank = config.at("r"), .alpha = config.at("lora_alpha")};
    if (has_value(config, "use_rslora")) info.rank_stabilized = true;
    info.dropout = config.value("lora_dropout", 0.0);
    info.tied = has_value(config, "ensure_weight_tying");
    if (has_value(config, "modules_to_save")) info.whole = config.at("modules_to_save");
    if (has_value(config, "base_model_name_or_path")) info.base = config.at("base_model_name_or_path");
    return info;
  } catch (const nlohmann::json::exception& e) {
    refuse("the configuration of the adapters is not as peft writes it", where, e.what(),
           "peft_type, r, lora_alpha");
  }
}

std::vector<MappedTensor> from_peft(const AdapterInfo& info, std::span<const TensorSpec> stored,
                                    const std::string& where) {
  std::vector<MappedTensor> tensors;
  std::vector<std::string> faults;
  std::map<std::string, int> halves;  // by layer: 1 A, 2 B
  for (size_t t = 0; t < stored.size(); ++t) {
    const TensorSpec& tensor = stored[t];
    bool known = false;
    for (int i = 0; i < 2; ++i) {
      const End& end = kEnds[i];
      if (!tensor.name.starts_with(kBefore) || !tensor.name.ends_with(end.theirs)) continue;
      const std::optional<std::string> layer = logical_module(module_of(tensor.name, end.theirs));
      if (!layer) continue;
      known = true;
      if (tensor.shape.rank() != 2 || tensor.shape[i] != info.rank)
        faults.push_back(
            fmt::format("different  {}, whose dim {} should be r = {}", to_string(tensor), i, info.rank));
      halves[*layer] |= 1 << i;
      TensorSpec ours = tensor;
      ours.name = *layer + std::string(end.ours);
      ours.role = "adapter";
      tensors.push_back({std::move(ours), {whole_piece(t, tensor.shape)}});
    }
    const bool twin = info.tied && tensor.name == kPeftHead && has(stored, kPeftTable);
    if (const auto name = whole_name(info, tensor); twin || name) {
      known = true;
      if (twin) continue;
      TensorSpec ours = tensor;
      ours.name = *name;
      tensors.push_back({std::move(ours), {whole_piece(t, tensor.shape)}});
    }
    if (!known) faults.push_back("extra      " + to_string(tensor));
  }
  for (const std::string& end : info.whole)
    if (std::none_of(stored.begin(), stored.end(), [&](const TensorSpec& tensor) {
          return is_whole({&end, 1}, tensor.name);
        }))
      faults.push_back(fmt::format("missing    {}, of modules_to_save", end));
  for (const auto& [layer, found] : halves)
    if (found != 3) faults.push_back(fmt::format("missing    {}{}", layer, kEnds[found == 1 ? 1 : 0].ours));
  if (!faults.empty()) refuse_tensors(faults, where);
  return tensors;
}

std::vector<MappedTensor> to_peft(const AdapterInfo& info, std::span<const TensorSpec> stored,
                                  const std::string& where) {
  std::vector<MappedTensor> tensors;
  for (size_t t = 0; t < stored.size(); ++t) {
    TensorSpec tensor = stored[t];
    if (tensor.state != "param") continue;
    const std::string ending = ending_of(tensor.name);
    std::string_view theirs = ending;  // of a module that is trained whole
    for (const End& end : kEnds)
      if (ending == end.ours) theirs = end.theirs;
    const std::optional<std::string> module =
        hugging_face_module(tensor.name.substr(0, tensor.name.size() - ending.size()));
    if (!module)
      throw Error(Fault::usage, {.what = "peft has no name for a tensor of these adapters",
                                 .where = where,
                                 .found = to_string(stored[t]),
                                 .expected = "adapters of linear layers of the llama family",
                                 .fix = "keep Strata's form, or merge the adapters with `strata merge`"});
    tensor.name = fmt::format("{}{}{}", kBefore, *module, theirs);
    tensors.push_back({tensor, {whole_piece(t, stored[t].shape)}});
    if (!info.tied || tensor.name != kPeftTable) continue;
    tensor.name = kPeftHead;
    tensors.push_back({std::move(tensor), {whole_piece(t, stored[t].shape)}});
  }
  return tensors;
}

nlohmann::ordered_json make_peft_config(const AdapterInfo& info, std::span<const MappedTensor> tensors) {
  std::map<std::string, std::set<std::string>> by_kind;  // "q_proj": the modules that end so
  std::set<std::string> modules, layers, whole;
  for (const MappedTensor& tensor : tensors) {
    const std::string& name = tensor.logical.name;
    if (std::none_of(std::begin(kEnds), std::end(kEnds),
                     [&](const End& end) { return name.ends_with(end.theirs); }) &&
        !(info.tied && name == kPeftHead))
      whole.insert(module_of(name, ending_of(name)));
    if (!name.ends_with(kEnds[0].theirs)) continue;
    const std::string module = module_of(name, kEnds[0].theirs);
    modules.insert(module);
    by_kind[module.substr(module.rfind('.') + 1)].insert(module);
    layers.insert(module.substr(0, module.find('.', std::string("model.layers.").size())));
  }
  // By the end of their names when every layer has all of them, else one by one.
  nlohmann::ordered_json targets = nlohmann::ordered_json::array();
  if (modules.size() == by_kind.size() * layers.size())
    for (const auto& [kind, found] : by_kind) targets.push_back(kind);
  else
    for (const std::string& module : modules) targets.push_back(module);
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path",
           info.base.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(info.base)},
          {"r", info.rank},
          {"lora_alpha", info.alpha == std::floor(info.alpha)
                             ? nlohmann::ordered_json(static_cast<int64_t>(info.alpha))
                             : nlohmann::ordered_json(info.alpha)},
          {"use_rslora", info.rank_stabilized},
          {"lora_dropout", info.dropout},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"init_lora_weights", true},
          {"inference_mode", true},
          {"target_modules", std::move(targets)},
          {"ensure_weight_tying", info.tied && whole.contains("model.embed_tokens")},
          {"modules_to_save", whole.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(whole)}};
}

}  // namespace strata
