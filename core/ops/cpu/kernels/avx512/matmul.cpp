// SPDX-License-Identifier: Apache-2.0
// Matrix products with AVX-512; bf16 is widened to float.
#include "core/ops/cpu/kernels/avx512/registers.h"
#include "core/ops/cpu/kernels/float_vector.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {

const MatmulTypes matmul_kernels{.f32 = kernels_of<FloatVector<Registers, FloatUnit>>,
                                 .bf16 = kernels_of<FloatVector<Registers, WidenedUnit>>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
