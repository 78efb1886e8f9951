// SPDX-License-Identifier: Apache-2.0
// What tests make the pretended NCCL (nccl.cpp) do, and what they see of it.
#pragma once

#include <nccl.h>

namespace strata::cuda_on_cpu {

// From now on the communicators of `rank` (a place in its communicator) report `code`; ncclSuccess: no more.
void break_nccl(int rank, ncclResult_t code);

struct NcclCounts {
  int alive = 0;                   // communicators that were neither destroyed nor aborted
  int destroyed = 0, aborted = 0;  // since the last reset
  int calls_in_one_group = 0;      // most
};
NcclCounts nccl_counts();
void reset_nccl_counts();

}  // namespace strata::cuda_on_cpu
