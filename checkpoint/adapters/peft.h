// SPDX-License-Identifier: Apache-2.0
// Adapters as the library peft keeps them: adapter_config.json and adapter_model.safetensors, with
// "base_model.model." before the names of Hugging Face and ".lora_A.weight" behind those of a layer; modules
// that are trained whole beside the adapters have their own names, a table that is the head as well (peft:
// ensure_weight_tying) both of its names. Models of the llama family; GPT-2's, one
// matrix for three of ours, are not read or written.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "checkpoint/adapters/mapped_source.h"

namespace strata {

inline constexpr std::string_view kPeftConfigName = "adapter_config.json",
                                  kPeftModelName = "adapter_model.safetensors";

// What adapters are beside their tensors.
struct AdapterInfo {
  int64_t rank = 0;
  double alpha = 0;
  bool rank_stabilized = false;    // s = alpha / sqrt(rank), not alpha / rank
  double dropout = 0;              // they were trained with
  bool tied = false;               // an embedding that is trained whole beside them is the head, too
  std::string base;                // the model they are for: a path or a name; may be empty
  std::vector<std::string> whole;  // of peft's configuration: ends of the names of modules trained whole

  double scale() const;
};

// As the metadata of a checkpoint of ours holds it, {"adapter": {...}, "base": {"path": ...}}; nothing when
// it does not.
std::optional<AdapterInfo> adapter_info(const nlohmann::json& metadata);
nlohmann::json to_json(const AdapterInfo& info);  // the object "adapter"

// Of an adapter_config.json. Throws Error(model) naming what would make it another computation than ours:
// DoRA, biases, ranks that differ from layer to layer.
AdapterInfo parse_peft_config(const nlohmann::json& config, const std::string& where);

// Our names for stored ones. Throws Error(model) listing those that have none, A without its B, and modules
// trained whole that are not there.
std::vector<MappedTensor> from_peft(const AdapterInfo& info, std::span<const TensorSpec> stored,
                                    const std::string& where);
// The other way, without the optimizer's states. Throws Error(usage) for layers peft has no name for.
std::vector<MappedTensor> to_peft(const AdapterInfo& info, std::span<const TensorSpec> stored,
                                  const std::string& where);
// For tensors as to_peft names them.
nlohmann::ordered_json make_peft_config(const AdapterInfo& info, std::span<const MappedTensor> tensors);

}  // namespace strata
