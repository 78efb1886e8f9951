// SPDX-License-Identifier: Apache-2.0
// From the configuration to the parts of a run: model, update rule, clip rule.
#pragma once

#include <memory>

#include "core/nn/model.h"
#include "core/program/update_rule.h"
#include "core/step/scalars.h"
#include "launch/config/config.h"
#include "optim/schedule.h"
#include "optim/step_guard.h"

namespace strata {

DType compute_type(const Config& config);

// A resolved configuration's model with `vocab` entries.
ModelSpec model_spec(const ModelConfig& model, int64_t vocab);

// The model of a resolved configuration with `vocab` entries (the tokenizer's when the configuration says 0).
// With `split`, what one of several ranks holds of it.
Model build_model(const Config& config, int64_t tokenizer_vocab, const Split& split = {});

std::unique_ptr<UpdateRule> build_update_rule(const Config& config);

LearningRateSchedule build_learning_rate(const Config& config);

// What a parameter's update needs in the run's `step`-th step (the first is 1), which is its `update`-th that
// changes weights.
UpdateScalars update_scalars(const Config& config, const LearningRateSchedule& schedule,
                             const Parameter& parameter, int64_t step, int64_t update);

// Norm, clipping and guard in one: what a step does with its gradient. Throws Error(numeric) when the guard
// stops the run. `guard` must outlive the rule; `step` is read for messages.
ClipRule build_clip_rule(const Config& config, StepGuard& guard, const int64_t& step);

}  // namespace strata
