// SPDX-License-Identifier: Apache-2.0
// Dropout of rows, with the random numbers drawn beside it: Philox in sixteen lanes.
#pragma once

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/ops/cpu/kernels/matrix_ref.h"

namespace strata::cpu {

struct DropoutRows {
  MatrixRef x, add, out;
  int64_t width;
  uint32_t key[2];      // of Philox, and the two words of its counter that are not the block's number:
  uint32_t counter[2];  // as random_block() makes them
  uint64_t first, pitch;
  uint32_t below;
  float kept;
};

struct DropoutKernels {
  void (*dropout)(const DropoutRows&, Range rows);
};
STRATA_DECLARE_PER_ISA(const DropoutKernels dropout_kernels);

}  // namespace strata::cpu
