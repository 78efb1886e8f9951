// SPDX-License-Identifier: Apache-2.0
// The rules of the configuration's section checkpoint about tensors that a checkpoint or a model to begin
// with does not hold as the model wants them, and when they apply.
#pragma once

#include <string>

#include "checkpoint/restore.h"
#include "checkpoint/strata_source.h"
#include "core/nn/model.h"
#include "launch/config/config.h"

namespace strata {

// Throws Error(usage) when checkpoint.rename is not of its form or takes two tensors for one.
RestoreRules loading_rules(const CheckpointConfig& config);

bool has_rules(const CheckpointConfig& config);

// Where adapters are trained beside a model, each of the two is loaded by itself: those of the rules that are
// about it. A rule is about the adapters when it means one of their tensors (or one that is trained whole
// beside them) or lets them have a tensor that is the model's; about the model otherwise, or as well.
enum class LoadedPart { model, adapters };
RestoreRules rules_about(LoadedPart part, const RestoreRules& rules, const Model& model);

// Whether the rules were applied before `checkpoint` was saved: its run had the same. A job that is started
// again and again with resume = "auto" thus makes a tensor anew once.
bool applied_before(const CheckpointConfig& config, const StrataSource& checkpoint);

// What rules let through, for people: a line for each kind, or "".
std::string let_through(const TensorMatch& match);

}  // namespace strata
