// SPDX-License-Identifier: Apache-2.0
// One rank's place in a job, and everything that follows from it: which part of the model it holds, whom it
// meets, what it computes when, and which samples are its own.
#pragma once

#include <memory>

#include "core/dist/mesh.h"
#include "core/nn/batch.h"
#include "core/nn/model.h"
#include "core/step/step_plan.h"
#include "parallel/boundaries/kv_ring.h"
#include "parallel/boundaries/tensor_boundaries.h"
#include "parallel/schedules/schedule.h"

namespace strata {

struct PlaceOptions {
  MeshSizes mesh;
  Topology topology;
  bool sequence = false;  // sequence parallelism over the tensor axis
  PartitionWays partition;
  Schedule schedule;  // of mesh.pp ranks; no ranks: one stage
  SumOrder order = SumOrder::ascending;
  int gather_ahead = 1;
  int micro_batches = 1;  // of one rank and step
  // StepPlanOptions::group, which is for the planner; here: where it is not 1, a tied table has twins,
  // because its sum has no one order then.
  int group = 1;
};

class RankPlace {
 public:
  // Collective over the job: makes its communicators. The world must outlive this. `tied`: the model's
  // embedding and head share a table. Throws Error(usage) where partition and mesh do not fit together.
  RankPlace(World& world, const PlaceOptions& options, bool tied);

  const Mesh& mesh() const { return mesh_; }
  const PlaceOptions& options() const { return options_; }
  int data_rank() const;

  // For make_model.
  const Split& split() const { return split_; }
  // For StepPlan, which this must outlive. Throws Error(usage) when the layers do not divide among the
  // stages.
  RankOptions rank_options(const Model& model) const;

  // This rank's i-th micro-batch of a step is the step's sample(i)-th of samples_per_step().
  int64_t sample(int micro_batch) const;
  int64_t samples_per_step() const { return int64_t{mesh_.size(Axis::dp)} * options_.micro_batches; }
  // What a rank of the context axis works on of a batch of whole sequences.
  Batch part_of(const Batch& batch) const;
  // Which token of such a batch, of sequences of `seq_len`, the `token`-th of this rank's part is.
  int64_t whole_token(int64_t token, int64_t seq_len) const;
  // Tokens of a sequence here.
  int64_t local_seq_len(int64_t seq_len) const { return div_exact(seq_len, mesh_.size(Axis::cp)); }

 private:
  std::vector<int> pipeline_peers(bool tied) const;

  PlaceOptions options_;
  Mesh mesh_;
  int rank_;
  Split split_;
  Partition partition_;
  std::unique_ptr<Communicator> tensor_, context_;
  std::unique_ptr<TensorBoundaries> boundaries_;
  std::unique_ptr<KvRing> ring_;
  std::unique_ptr<StateGroups> groups_;  // null: one rank alone
};

}  // namespace strata
