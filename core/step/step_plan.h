// SPDX-License-Identifier: Apache-2.0
// A step before it runs: sizes, the linked and verified programs of training and evaluation, their memory.
// `strata plan` prints it, a StepRunner runs it; nothing here needs the device it is for.
#pragma once

#include <memory>

#include "core/nn/model.h"
#include "core/program/link.h"
#include "core/program/update_rule.h"
#include "core/step/geometry.h"
#include "core/step/model_costs.h"
#include "core/step/state_layout.h"

namespace strata {

struct StepPlanOptions {
  Geometry geometry;
  const UpdateRule* rule = nullptr;  // null: evaluation only
  bool recompute = false;            // every block's saved values are computed again in the backward pass
  Device target;                     // that will run it
  const LinearOp* linear = nullptr;  // bound to every linear layer; null: products in the dtype of the tensors
  Rates rates;                       // for simulated times
};

class StepPlan {
 public:
  // `model` and the rule must outlive the plan. Throws ContractError when a program does not verify.
  StepPlan(const Model& model, const StepPlanOptions& options);

  const Model& model() const { return model_; }
  const Geometry& geometry() const { return options_.geometry; }
  const UpdateRule* rule() const { return options_.rule; }
  Device target() const { return options_.target; }
  const LinearOp& linear() const { return linear_; }
  const StateLayout& layout() const { return layout_; }
  const ModelCosts& costs() const { return costs_; }

  bool trains() const { return train_ != nullptr; }
  const LinkedProgram& train() const;  // needs a rule
  const LinkedProgram& evaluate() const { return *evaluate_; }
  // Both programs share one arena: what outlives a step lies at the same place in both.
  int64_t arena_bytes() const;

 private:
  const Model& model_;
  StepPlanOptions options_;
  const LinearOp& linear_;
  StateLayout layout_;
  ModelCosts costs_;
  std::unique_ptr<LinkedProgram> train_, evaluate_;
};

}  // namespace strata
