// SPDX-License-Identifier: Apache-2.0
// What `strata convert` will write: which tensors under which names and types, which files beside them, and
// what is left behind.
#pragma once

#include <memory>
#include <string_view>

#include "launch/convert/open_checkpoint.h"

namespace strata {

enum class TargetFormat { strata, hugging_face, safetensors, peft };

std::string_view name(TargetFormat format);  // "strata", "hf", "safetensors", "peft": as on the command line
std::optional<TargetFormat> target_format_named(std::string_view name);

struct ConversionPlan {
  TargetFormat format = TargetFormat::strata;
  std::vector<std::unique_ptr<TensorSource>> steps;  // each made of the one before
  const TensorSource* source = nullptr;  // the last one, or what was opened: to be written as it is
  std::vector<Asset> assets;
  std::vector<std::string> dropped;  // with the reason
};

// `type`: of the weights, nothing: as they are. `opened` lives longer. Throws Error when it cannot be done.
ConversionPlan plan_conversion(const OpenedCheckpoint& opened, TargetFormat format,
                               std::optional<ElementType> type);

}  // namespace strata
