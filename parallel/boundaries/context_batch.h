// SPDX-License-Identifier: Apache-2.0
// The part of a batch that one rank of a context axis works on. Rows are cut into 2c chunks, and rank i of c
// takes chunks i and 2c - 1 - i of every row: the earlier a chunk, the fewer keys it sees, so that all ranks
// have as much attention to do.
#pragma once

#include "core/nn/batch.h"

namespace strata {

// The batch itself for one part; 2 * parts must divide seq_len. Rows keep their number; tokens, targets and
// positions (counted from the start of their documents still) are those of the rank's chunks, and `visits`
// says what their queries see of each piece of keys, documents kept apart. num_targets counts those of the
// part.
Batch context_part(const Batch& batch, int parts, int part);

// Which token of the whole batch of sequences of `seq_len` the `token`-th of a part is.
int64_t context_token(int64_t token, int64_t seq_len, int parts, int part);

}  // namespace strata
