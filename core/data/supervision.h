// SPDX-License-Identifier: Apache-2.0
// What a dataset with a loss mask teaches, counted before anything is trained on it.
#pragma once

#include <cstdint>

#include "core/data/dataset.h"

namespace strata {

struct Supervision {
  int64_t tokens = 0;     // targets that the samples have, learned or not
  int64_t learned = 0;    // of them: what num_targets of all batches of an epoch adds up to
  int64_t documents = 0;  // that have a target in the samples
  int64_t unlearned = 0;  // of them: nothing is learned
  int64_t cut = 0;  // of them: learned in a later sample than the one they begin in, without what came before
};

// Walks the documents, or the pieces of them that Packing::best_fit made; with no mask anywhere all targets
// are learned. A document that best fit dropped is not counted.
Supervision count_supervision(const Dataset& dataset);

// Error(data) saying why when nothing is learned.
void require_supervision(const Supervision& supervision, const Dataset& dataset);

}  // namespace strata
