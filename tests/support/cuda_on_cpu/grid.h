// SPDX-License-Identifier: Apache-2.0
// Runs the blocks of a kernel one after another on the calling thread, the threads of a block as fibers, and is what
// the CUDA functions of kernel_target.cuh call. Wrong use of a barrier or of a warp operation throws ContractError from
// run_grid() with file and line; other faults are the sanitizers' to see (tests/support/cuda_on_cpu/README.md).
//
// Built without sanitizers: barriers must not look like memory accesses of the kernel's threads.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

namespace strata::cuda_on_cpu {

// The indices of the fiber that runs.
struct Here {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
extern thread_local constinit Here here;

// Calls kernel() once for every thread of the grid. Any number of host threads may run grids of their own.
void run_grid(dim3 blocks, dim3 threads, size_t shared_bytes, const std::function<void()>& kernel);

// ---- for the fibers of a kernel -----------------------------------------------------------------------------

void block_barrier(std::source_location where);

enum class WarpOp { sync, shuffle, ballot };
// Waits for all lanes of `mask` in the same operation. shuffle: the value of lane `from`; ballot: the lanes with a
// value that is not 0; sync: orders memory, the others do not.
uint64_t warp_meeting(WarpOp op, unsigned mask, uint64_t value, unsigned from, std::source_location where);

// Memory of the block that runs, of exactly this size, the same for all its threads; 0xFF at first, which is NaN in a
// float. `site` names a static array.
void* static_shared(const void* site, size_t bytes, size_t alignment);
void* dynamic_shared();

// Orders this thread's memory accesses before it with those after the fence of another (__threadfence).
void memory_fence();

// Lets others run: in loops that wait for memory.
void yield_to_others();

}  // namespace strata::cuda_on_cpu
