// SPDX-License-Identifier: Apache-2.0
// The model that adapters are trained beside. It is not in their checkpoints: those say where it lay and
// which numbers it was.
#pragma once

#include <optional>

#include "checkpoint/adapters/peft.h"
#include "launch/train/run_state.h"

namespace strata {

struct BaseModel {
  std::string path;     // absolute
  uint64_t digest = 0;  // RunTensors::model_digest, over all ranks
};

bool trains_adapters(const Config& config);
AdapterInfo adapter_info(const AdapterConfig& adapter);

// Throws Error(model) when the embedding that comes with adapters was trained apart from the head, and the
// model beside them has one table for both. `where` is the adapters'.
void require_same_ties(const AdapterInfo& adapter, std::span<const TensorSpec> tensors, bool tied,
                       const std::string& where);

// In the metadata of a checkpoint: the objects "adapter" and "base".
void describe_adapters(nlohmann::json& meta, const Config& config, const BaseModel& base);
// Nothing where a checkpoint has none.
std::optional<BaseModel> base_of(const nlohmann::json& meta);

// Fills the model's own weights from where the configuration says they are or, when nothing is there, where
// they lay (`of_checkpoint`). Collective over the peers. Throws Error(model) when they are not those that the
// checkpoint's adapters were trained beside.
BaseModel load_base(FileSystem& files, const Config& config, const std::optional<BaseModel>& of_checkpoint,
                    StepRunner& runner, const UpdateRule& rule, const Loading& loading);

// Fills the adapters' values from a folder of peft or a run that trained some. Throws Error(model) when they
// are of other layers, rank or scale.
void load_adapters(FileSystem& files, const AdapterConfig& adapter, StepRunner& runner,
                   const UpdateRule& rule, const Loading& loading);

}  // namespace strata
