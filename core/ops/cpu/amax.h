// SPDX-License-Identifier: Apache-2.0
// The largest magnitude of what an operation writes, taken of each piece of rows while that is in the cache.
#pragma once

#include <atomic>

#include "core/ops/cpu/kernels/pointwise_kernels.h"
#include "core/ops/cpu/parallel.h"

namespace strata::cpu {

// Threads may call it at once: a maximum is the same in any order. Nothing where amax is absent.
inline void raise_amax(Isa isa, const Tensor& amax, const Tensor& written, Range rows) {
  if (!amax) return;
  const PointwiseKernels& kernels = STRATA_SELECT_ISA(isa, pointwise_kernels);
  const uint32_t most = kernels.magnitude(ref(written), rows, written.dim(1));
  const std::atomic_ref<uint32_t> shared(*reinterpret_cast<uint32_t*>(amax.data<float>()));
  uint32_t found = shared.load(std::memory_order_relaxed);
  while (most > found && !shared.compare_exchange_weak(found, most, std::memory_order_relaxed)) {
  }
}

}  // namespace strata::cpu
