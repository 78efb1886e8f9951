// SPDX-License-Identifier: Apache-2.0
// From the configuration to a rank's place among others.
#pragma once

#include "core/dist/communicator.h"
#include "core/nn/model.h"
#include "launch/config/config.h"
#include "parallel/layout.h"
#include "parallel/rank_place.h"

namespace strata {

// The mesh of `ranks` ranks, schedule and partition that the configuration asks for. Throws Error(usage) with
// the equation and the nearest legal layouts when they do not fit the model, the batch or each other.
PlaceOptions place_options(const Config& config, int ranks, int64_t vocab);

// As few ranks as the sizes take.
int least_ranks(const ParallelConfig& parallel);

// The configuration with the sizes of the legal layout that is nearest to its own on as many ranks as
// possible, at most `slots`: what a job that lost some of its ranks goes on with. Throws Error(usage) as
// place_options() when not even one rank has a layout, or the configuration is at fault apart from its sizes.
struct FittedJob {
  int ranks = 1;
  ParallelConfig parallel;
};
FittedJob fit_layout(const Config& config, int slots, int64_t vocab);

// What a step of the run looks like for the rank at `place`. `rule`, `place` and the model must outlive the
// plan made of it.
StepPlanOptions plan_options(const Config& config, const UpdateRule& rule, const RankPlace& place,
                             const Model& model, Device target = {}, const Rates& rates = {});

}  // namespace strata
