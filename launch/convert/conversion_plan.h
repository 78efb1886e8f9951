// SPDX-License-Identifier: Apache-2.0
// What `strata convert` will write: which tensors under which names and types, which files beside them, and
// what is left behind.
#pragma once

#include <memory>
#include <string_view>

#include "launch/convert/open_checkpoint.h"

namespace strata {

enum class TargetFormat { strata, hugging_face, safetensors, dcp, universal, peft };
// What the tensors are called there.
enum class TargetNames { automatic, ours, hugging_face };

std::string_view name(TargetFormat format);  // "strata", "hf", "safetensors", "dcp", "universal", "peft"
std::optional<TargetFormat> target_format_named(std::string_view name);

struct ConversionPlan {
  TargetFormat format = TargetFormat::strata;
  std::vector<std::unique_ptr<TensorSource>> steps;  // each made of the one before
  const TensorSource* source = nullptr;  // the last one, or what was opened: to be written as it is
  std::vector<Asset> assets;
  std::vector<std::string> dropped;  // with the reason
};

struct ConversionWish {
  TargetFormat format = TargetFormat::strata;
  // automatic: Hugging Face's where the format is another program's and the model is one of its.
  TargetNames names = TargetNames::automatic;
  std::optional<ElementType> type = std::nullopt;  // of the weights; nothing: as they are
  std::vector<std::string> reinit = {};            // names of ours (name_rules.h) to leave out
  std::vector<std::string> allow_missing = {};     // that need not be there
};

// `opened` lives longer. Throws Error when it cannot be done.
ConversionPlan plan_conversion(const OpenedCheckpoint& opened, const ConversionWish& wish);

}  // namespace strata
