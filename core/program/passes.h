// SPDX-License-Identifier: Apache-2.0
// The passes of one rank, and the one place that fixes their order.
#pragma once

#include <vector>

#include "core/program/program.h"

namespace strata {

// These blocks save nothing in forward and run it again right before their first backward. Not the first
// block (its forward is a table look-up), not the head.
Pass recompute_pass(std::vector<int> blocks);

// norm of every trainable block, clip, then update and pack block by block, in forward order: the order in
// which the next step wants them.
Pass optimizer_pass();

// Ends every value that is not initial right after its last use in the list. Later passes may move these
// frees.
Pass free_pass();

struct StepOptions {
  std::vector<int> recompute;  // blocks
};

// The program of a training step on one rank, all passes applied: ready for link().
Program make_step(std::vector<BlockInfo> blocks, int micro_batches, const StepOptions& options = {});
// The same for an evaluation: forward without keeping, loss_only, no gradients.
Program make_evaluation(std::vector<BlockInfo> blocks, int micro_batches);

}  // namespace strata
