// SPDX-License-Identifier: Apache-2.0
// The passes, and the one place that fixes their order: exchange, recompute, partition, optimizer,
// tiers, (over all ranks) global order, free.
#pragma once

#include <span>
#include <vector>

#include "core/program/cost_model.h"
#include "core/program/grid.h"
#include "core/program/program.h"
#include "core/program/tiers.h"

namespace strata {

// Sends and receives of x and dx where neighbouring stages lie on different ranks: a receive right before the
// first use, a send right after the value is made.
Pass exchange_pass(std::vector<Stage> stages, std::vector<int> rank_of_stage, int rank);

// These blocks save nothing in forward and run it again right before their first backward. Not the first
// block (its forward is a table look-up), not the head.
Pass recompute_pass(std::vector<int> blocks);

struct PartitionOptions {
  SumOrder order = SumOrder::ascending;
  // Weights are gathered this many uses of other blocks ahead of their own; 0: right before.
  int gather_ahead = 1;
  // tie: the pipeline rank of each twin that is not here, by block; empty: there is none.
  std::vector<int> rank_of_block;
};
// What the levels of the blocks (BlockInfo) demand: gathers before a block's uses and packing of what was
// gathered; reductions of its gradients, per micro-batch when they are summed in shards, else once; the sums
// of a balanced tree over micro-batches in SumOrder::tree; ties of twins.
Pass partition_pass(PartitionOptions options = {});

// norm of every trainable block, the totals over all ranks, clip; update, spread and pack block by block, in
// forward order: the order in which the next step wants them. Of an evaluation only the totals.
Pass optimizer_pass(Timing timing = Timing::sync);

// What the homes of the blocks' values (BlockInfo) demand: loads ahead of the uses of what is not at home on
// the device, stores of what a use has changed, packing of weights that were loaded, and the commit of what
// went to nvme.
Pass tier_pass(TierOptions options = {});

// Ends every value that is not initial right after the last use of each of its lives; what a deferred update
// stores, a few blocks later. Later passes may move these frees.
Pass free_pass();

// Puts the list of every rank of a job (programs[r] is pipeline rank r's, before free_pass) into the order of
// one simulated run of all of them, in which messages wait for their data alone. Every wait then points
// forward in one order that all ranks share: no merging of lanes can deadlock. Throws ContractError, saying
// where each rank stands, when the job cannot end.
void order_globally(std::span<Program> programs, const CostModel& costs);

struct StepOptions {
  std::vector<int> recompute;  // blocks
  SumOrder order = SumOrder::ascending;
  int gather_ahead = 1;
  TierOptions tiers;  // how values travel; where they live, the blocks say
  Timing timing = Timing::sync;
  int ranks = 1;  // of the job
};

// The program of a training step on one rank, all passes applied: ready for link().
Program make_step(std::vector<BlockInfo> blocks, int micro_batches, const StepOptions& options = {});
// The same for an evaluation: forward without keeping, loss_only, no gradients.
Program make_evaluation(std::vector<BlockInfo> blocks, int micro_batches, const StepOptions& options = {});

// A pipeline: rank r runs the cells grids[r]; stage s lies on rank_of_stage[s].
struct Pipeline {
  std::vector<Grid> grids;
  std::vector<Stage> stages;
  std::vector<int> rank_of_stage;

  int ranks() const { return static_cast<int>(grids.size()); }
  int rank_of_block(int block) const;
};

// The programs of all pipeline ranks, in their global order. `blocks` as one rank would have them: which are
// `here` follows from the pipeline.
std::vector<Program> make_pipeline(const std::vector<BlockInfo>& blocks, int micro_batches, Goal goal,
                                   const Pipeline& pipeline, const StepOptions& options,
                                   const CostModel& costs);

}  // namespace strata
