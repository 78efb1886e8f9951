// SPDX-License-Identifier: Apache-2.0
// Which stored tensor each wanted one comes from. Strict: what is missing, left over or different is listed
// in full, and only what a rule names is let through.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/logical.h"

namespace strata {

// Names in rules are those of tensors, all states of it; one that ends with '*' means all that begin so.
struct RestoreRules {
  std::vector<std::pair<std::string, std::string>> rename;  // wanted name -> stored name
  std::vector<std::string> allow_missing;                   // wanted; keeps the value it has
  std::vector<std::string> reinit;        // wanted; keeps the value it has even if it is stored
  std::vector<std::string> ignore_extra;  // stored, not wanted
};

struct TensorMatch {
  std::vector<std::optional<size_t>> stored;  // by wanted tensor; nothing: keeps its value
  std::vector<std::string> kept, ignored;     // what rules let through
};

// Throws Error(model) with every fault; `where` is the checkpoint. A rule that applies to nothing is a fault
// (but for "*"), too.
TensorMatch match_tensors(std::span<const TensorSpec> wanted, std::span<const TensorSpec> stored,
                          const RestoreRules& rules, const std::string& where);

}  // namespace strata
