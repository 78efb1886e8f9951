// SPDX-License-Identifier: Apache-2.0
// A step before it runs: sizes, the linked and verified programs of training and evaluation of every pipeline
// rank, and this rank's memory. `strata plan` prints it, a StepRunner runs it; nothing here needs the device
// it is for.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/nn/model.h"
#include "core/program/backing_store.h"
#include "core/program/link.h"
#include "core/program/passes.h"
#include "core/program/update_rule.h"
#include "core/step/geometry.h"
#include "core/step/model_costs.h"
#include "core/step/state_layout.h"

namespace strata {

// Where a rank stands among others. The default is one rank alone.
struct RankOptions {
  int ranks = 1;                            // of the job
  Partition partition;                      // of the state over the data ranks
  Pipeline pipeline;                        // no grids: one stage
  int pipeline_rank = 0;                    // this one
  SumOrder order = SumOrder::ascending;     // tree: the same bits for every number of data ranks
  int gather_ahead = 1;                     // weights are gathered this many blocks ahead
  const BoundarySet* boundaries = nullptr;  // null: the identity everywhere
  const StateGroups* groups = nullptr;      // needed for several ranks
  const KvExchange* keys = &one_piece();    // of a context axis
};

struct StepPlanOptions {
  Geometry geometry;                 // of one rank's micro-batches
  const UpdateRule* rule = nullptr;  // null: evaluation only
  bool recompute = false;            // every block's saved values are computed again in the backward pass
  Device target;                     // that will run it
  const LinearOp* linear =
      nullptr;  // bound to every linear layer; null: products in the dtype of the tensors
  Rates rates;  // for simulated times
  RankOptions rank;
  TierOptions tiers;  // through_host follows from the target
  Timing timing = Timing::sync;
  // Of one pipeline stage: micro-batches that pass a block before the next one; 0: all. A tied table needs
  // twins then, if sums have an order.
  int group = 1;
  // Bytes of each tier's arena; 0: as many as it takes. Up to the limit, lanes need not wait for memory.
  std::array<int64_t, kNumTiers> limit = {};
  // The training step of every pipeline rank, before link(), instead of what the passes would make: a text
  // that was printed, and perhaps edited.
  std::vector<Program> given = {};
};

class StepPlan {
 public:
  // `model`, the rule, boundaries and groups must outlive the plan. Throws ContractError when a program does
  // not verify; Error(memory) when a tier's limit is too small, with what it takes; Error(usage) when a given
  // one does not, or is not of this model and these ranks.
  StepPlan(const Model& model, const StepPlanOptions& options);

  const Model& model() const { return model_; }
  const Geometry& geometry() const { return options_.geometry; }
  const UpdateRule* rule() const { return options_.rule; }
  const RankOptions& rank() const { return options_.rank; }
  Device target() const { return options_.target; }
  const LinearOp& linear() const { return linear_; }
  const BoundarySet& boundaries() const {
    return options_.rank.boundaries ? *options_.rank.boundaries : identity_;
  }
  const StateExchange* exchange() const { return exchange_.get(); }  // null: one rank alone
  const StateLayout& layout() const { return layout_; }
  const ModelCosts& costs() const { return costs_; }
  bool holds(int block) const { return evaluate().program.blocks[static_cast<size_t>(block)].here; }

  bool trains() const { return !train_.empty(); }
  const LinkedProgram& train() const;  // this rank's; needs a rule
  const LinkedProgram& evaluate() const {
    return evaluate_[static_cast<size_t>(options_.rank.pipeline_rank)];
  }
  // Of every pipeline rank.
  std::span<const LinkedProgram> train_job() const { return train_; }
  std::span<const LinkedProgram> evaluate_job() const { return evaluate_; }
  // Both programs share one arena: what outlives a step lies at the same place in both.
  int64_t arena_bytes(Tier tier = Tier::device) const;
  // What a store must keep: the values of Tier::nvme. Those that no update changes are fixed, those of a step
  // alone are scratch.
  std::vector<StoredValue> stored_values() const;
  bool offloads() const { return options_.tiers.offloads(); }
  bool quantizes_activations() const {
    return options_.tiers.activation_format == ActivationFormat::fp8 &&
           options_.tiers.activations.tier != Tier::device;
  }
  Timing timing() const { return options_.timing; }
  // The program that a value's places are those of: of training when there is one.
  const LinkedProgram& main() const { return train_.empty() ? evaluate() : train(); }

 private:
  std::vector<LinkedProgram> link_verified(std::vector<Program> programs, SumOrder order) const;
  std::vector<LinkedProgram> link_given(std::vector<Program> given, std::span<const Program> made) const;

  const Model& model_;
  StepPlanOptions options_;
  BoundarySet identity_;
  const LinearOp& linear_;
  StateLayout layout_;
  std::unique_ptr<StateExchange> exchange_;
  ModelCosts costs_;
  std::vector<LinkedProgram> train_, evaluate_;
};

}  // namespace strata
