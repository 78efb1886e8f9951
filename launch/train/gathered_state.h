// SPDX-License-Identifier: Apache-2.0
// The logical tensors of a run, whole, from and to the rectangles that the ranks hold: what makes a
// checkpoint independent of the layout. One rank holds all of it for a moment.
#pragma once

#include <memory>
#include <vector>

#include "checkpoint/local_checkpoint.h"
#include "core/step/step_runner.h"

namespace strata {

// "layers.0.mlp.up.weight", and with "/master" behind it for state slots.
std::string slot_name(const std::string& tensor, const UpdateRule& rule, size_t slot);

// Every logical tensor and its state slots, in the order of their first appearance over the ranks. On rank 0;
// empty elsewhere. Collective over `everyone`. Without communicator: the runner's own tensors where they are
// whole.
struct GatheredState {
  std::vector<NamedTensor> tensors;
  std::shared_ptr<Allocator> allocator;  // of those that had to be put together
};
GatheredState gather_state(const StepRunner& runner, const UpdateRule& rule, Communicator* everyone);

// Fills this rank's parts of weights (and, with a rule, state) from whole tensors in a checkpoint.
void scatter_state(const LocalCheckpoint& checkpoint, const StepRunner& runner, const UpdateRule* rule);

}  // namespace strata
