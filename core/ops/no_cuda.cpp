// SPDX-License-Identifier: Apache-2.0
// Where Strata was built without CUDA.
#include "core/ops/op_table.h"

namespace strata {

const OpTable* cuda_op_table() { return nullptr; }
const ScratchTable* cuda_scratch_table() { return nullptr; }

}  // namespace strata
