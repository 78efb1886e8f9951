// SPDX-License-Identifier: Apache-2.0
#include "core/step/step_plan.h"

#include <algorithm>
#include <numeric>

#include "core/program/passes.h"
#include "core/program/verify.h"

namespace strata {
namespace {

// All but the embedding, whose forward is a look-up, and the head, which keeps nothing.
std::vector<int> recomputed_blocks(const Model& model) {
  std::vector<int> blocks(static_cast<size_t>(model.num_blocks() - 2));
  std::iota(blocks.begin(), blocks.end(), 1);
  return blocks;
}

std::unique_ptr<LinkedProgram> link_verified(Program program, const CostModel& costs) {
  auto linked = std::make_unique<LinkedProgram>(link(std::move(program), costs));
  require_verified(*linked);
  return linked;
}

}  // namespace

StepPlan::StepPlan(const Model& model, const StepPlanOptions& options)
    : model_(model),
      options_(options),
      linear_(options.linear ? *options.linear : plain_linear_op()),
      layout_(model, options.rule, linear_, options.target),
      costs_(model, options.geometry, layout_, linear_, options.target, options.rates) {
  const Geometry& geometry = options.geometry;
  check(geometry.seq_len <= model.spec.max_positions,
        "[plan] sequences of {} tokens, the model has {} positions", geometry.seq_len,
        model.spec.max_positions);
  const std::vector<BlockInfo> infos = costs_.block_infos(options.rule != nullptr);
  evaluate_ = link_verified(make_evaluation(infos, 1), costs_);
  if (!options.rule) return;
  StepOptions step;
  if (options.recompute) step.recompute = recomputed_blocks(model);
  train_ = link_verified(make_step(infos, geometry.micro_batches, step), costs_);
  for (const Value& value : train_->program.initial)
    check(train_->home(value).offset == evaluate_->home(value).offset,
          "[plan] {} moves between the two programs", to_string(value));
}

const LinkedProgram& StepPlan::train() const {
  check(train_ != nullptr, "[plan] a plan without an update rule has no training program");
  return *train_;
}

int64_t StepPlan::arena_bytes() const {
  return std::max(train_ ? train_->memory[Tier::device].arena : 0, evaluate_->memory[Tier::device].arena);
}

}  // namespace strata
