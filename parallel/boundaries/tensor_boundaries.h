// SPDX-License-Identifier: Apache-2.0
// Where the ranks of a tensor axis meet inside a model's blocks (Shoeybi et al. 2019, Megatron-LM), also with
// the rows between layers cut over the same ranks (Korthikanti et al. 2022, sequence parallelism).
//
//                                tensor parallel            with sequence parallelism
//   attn_in, mlp_in, head_in     forward: nothing           all-gather of rows
//                                backward: all-reduce       reduce-scatter of rows
//   embed_out, attn_out, mlp_out forward: all-reduce        reduce-scatter of rows
//                                backward: nothing          all-gather of rows
//   loss_max, loss_sum           forward: all-reduce, of a maximum and of sums
//
// With sequence parallelism rank r of t has rows [r T / t, (r + 1) T / t) of the T tokens of a micro-batch
// between layers; t must divide T. The loss and the number of targets come out the same on every rank of the
// axis: one of them speaks for all.
#pragma once

#include <memory>
#include <vector>

#include "core/dist/communicator.h"
#include "core/nn/boundary.h"

namespace strata {

class TensorBoundaries {
 public:
  // `sequence` as in the model's Split, whose parts are the members of `tensor`, which must outlive this. A
  // communicator of a plan gives the boundaries of a plan.
  TensorBoundaries(Communicator& tensor, bool sequence);

  // Lives as long as this.
  const BoundarySet& set() const { return set_; }

 private:
  std::vector<std::unique_ptr<const Boundary>> bound_;
  BoundarySet set_;
};

}  // namespace strata
