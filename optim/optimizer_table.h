// SPDX-License-Identifier: Apache-2.0
// The table of update rules: which optimizer, kept in which state format, for which compute type.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "core/program/update_rule.h"
#include "optim/adamw.h"

namespace strata {

struct OptimizerRow {
  std::string_view type;   // optimizer.type
  std::string_view state;  // precision.state
  DType compute;  // precision.compute: what the model computes with, and the dtype of UpdateSpan::weight
  std::string_view doc;
  std::unique_ptr<UpdateRule> (*make)(const AdamwOptions& options);
};

std::span<const OptimizerRow> optimizer_table();

// The rule of one row. Throws Error(usage) naming the choices when there is no such row, or when an option is
// out of range.
std::unique_ptr<UpdateRule> make_update_rule(std::string_view type, std::string_view state, DType compute,
                                             const AdamwOptions& options);

}  // namespace strata
