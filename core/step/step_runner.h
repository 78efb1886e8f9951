// SPDX-License-Identifier: Apache-2.0
// Binds the actions of a program to a model and an update rule, owns the arena, and runs training steps and
// evaluations. Everything a step needs is placed before the first one: a step allocates nothing.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/nn/batch.h"
#include "core/nn/model.h"
#include "core/program/executor.h"
#include "core/program/link.h"
#include "core/program/update_rule.h"
#include "core/step/bindings.h"
#include "core/step/scalars.h"
#include "core/step/step_plan.h"

namespace strata {

// What of one logical tensor is held here, where it lies: the rows of its physical tensor, which are
// contiguous.
struct LogicalState {
  std::string name;
  Shape shape;  // of the whole
  Rect held;    // of the whole; the tensors below have its extent
  Init init;
  Role role = Role::linear;
  Tensor weight;    // as the model computes with it
  Tensor gradient;  // f32; absent when frozen or without a rule. Holds it only while the clip rule runs
  std::vector<Tensor> state;  // in the order of the rule's slots; empty without a rule
};

class StepRunner {
 public:
  // All references must outlive the runner; `stream` is of the plan's target. `clip` is needed when the plan
  // trains. Throws Error(memory) when the arena cannot be had. Weights are zero until initialize(), or until
  // somebody fills logical_states() and calls weights_changed().
  StepRunner(const StepPlan& plan, Stream& stream, Allocator& allocator, ClipRule clip = {},
             ExecutorOptions executor = {});
  ~StepRunner();

  // Initial values from (seed, tensor name, element index): the same on every layout.
  void initialize(uint64_t seed);
  std::vector<LogicalState> logical_states() const;
  void weights_changed();  // packs them again

  // One optimizer step over geometry.micro_batches batches. Runs inline on a CPU stream. Returns the step's
  // sums; the clip rule's decision is in them. `update` gives a parameter's scalars from its role and name;
  // the gradient scale is filled in here. Error(data) when no token of the step has a target.
  using Scalars = std::function<UpdateScalars(const Parameter& parameter)>;
  StepScalars train_step(std::span<const Batch> batches, const Scalars& update);

  // Loss of one batch of the geometry's shape, no gradients.
  LossSum evaluate(const Batch& batch);

  const StepPlan& plan() const { return plan_; }
  const RopeTable& rope() const { return rope_; }
  // Views for running blocks outside a program (sampling).
  std::span<const LinearWeight> weights(int block) const {
    return views_[static_cast<size_t>(block)].weights();
  }

 private:
  void bind_views();
  void bind_batch(const Batch& batch, size_t micro_batch, float loss_scale);
  StepScalars& scalars() const;
  void pack_block(int block);

  // What the handlers share: the bytes of an action's operands as a block wants them.
  Context context(const Invocation& invocation) const;
  Region region(const Invocation& invocation, ValueClass cls, int block) const;
  Tensor activation(const Invocation& invocation, ValueClass cls, int block) const;
  // Handlers.
  void forward(const Invocation& invocation);
  void backward_input(const Invocation& invocation);
  void backward_weight(const Invocation& invocation);
  void loss(const Invocation& invocation);
  void update(const Invocation& invocation);
  Executor::Handlers handlers();

  const StepPlan& plan_;
  const Model& model_;
  Stream& stream_;
  ClipRule clip_;
  RopeTable rope_;
  BoundarySet boundaries_;
  BufferRef arena_;
  std::vector<ParameterViews> views_;
  std::vector<std::vector<std::vector<AttentionSegment>>>
      visits_;  // of each micro-batch: its own keys, then visitors
  std::vector<TokenBatch> batches_;
  const Scalars* update_ = nullptr;  // of the step that runs
  std::unique_ptr<Executor> train_executor_, evaluate_executor_;
};

}  // namespace strata
