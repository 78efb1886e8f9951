// SPDX-License-Identifier: Apache-2.0
// What `strata convert` will write: which tensors under which names and types, which files beside them, and
// what is left behind.
#pragma once

#include <memory>
#include <string_view>

#include "checkpoint/adapters/gguf_values.h"
#include "core/format/fp8.h"
#include "launch/convert/open_checkpoint.h"

namespace strata {

enum class TargetFormat { strata, hugging_face, safetensors, dcp, universal, megatron, peft, gguf };
// What the tensors are called there.
enum class TargetNames { automatic, ours, hugging_face };

std::string_view name(
    TargetFormat format);  // "strata", "hf", "safetensors", "dcp", "universal", "megatron", "peft", "gguf"
std::optional<TargetFormat> target_format_named(std::string_view name);

// What a GGUF file has beside its tensors.
struct GgufFile {
  GgufValues values;
  std::vector<bool> in_blocks;  // by tensor: stored as Q8_0
};

struct ConversionPlan {
  TargetFormat format = TargetFormat::strata;
  std::vector<std::unique_ptr<TensorSource>> steps;  // each made of the one before
  const TensorSource* source = nullptr;  // the last one, or what was opened: to be written as it is
  std::vector<Asset> assets;
  std::vector<std::string> dropped;                          // with the reason
  std::vector<std::string> notes;                            // for people
  std::optional<GgufFile> gguf;                              // of that format
  std::vector<std::pair<std::string, std::string>> objects;  // of Megatron's: keys, and torch.save's archives
};

struct ConversionWish {
  TargetFormat format = TargetFormat::strata;
  // automatic: Hugging Face's where the format is another program's and the model is one of its.
  TargetNames names = TargetNames::automatic;
  std::optional<ElementType> type = std::nullopt;  // of the weights; nothing: as they are
  bool q8_0 = false;                               // in place of a type, GGUF alone: blocks of 8 bits
  // Hugging Face alone: linear layers in e4m3, with factors of this kind; `type` is that of the others.
  std::optional<ScaleKind> fp8 = std::nullopt;
  std::vector<std::string> reinit = {};         // names of ours (name_rules.h) to leave out
  std::vector<std::string> allow_missing = {};  // that need not be there
};

// `opened` lives longer. Throws Error when it cannot be done.
ConversionPlan plan_conversion(const OpenedCheckpoint& opened, const ConversionWish& wish);

}  // namespace strata
