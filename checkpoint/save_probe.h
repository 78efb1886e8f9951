// SPDX-License-Identifier: Apache-2.0
// Whether saving works here, tried before hours of work depend on it.
#pragma once

#include "checkpoint/saver.h"

namespace strata {

// Saves a small checkpoint in a folder of its own under options.directory, reads every byte of it back and
// removes it; and compares the free space with `state_bytes`, what one save of all ranks takes. Collective.
// Throws Error(environment) on all ranks.
void probe_saving(FileSystem& files, Peers& peers, const SaverOptions& options, int64_t state_bytes);

}  // namespace strata
