// SPDX-License-Identifier: Apache-2.0
// Matrix products with AVX2 and FMA: 6 x 16 sums in 12 of the 16 registers.
#include "core/ops/cpu/kernels/float_vector.h"

#include <immintrin.h>

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

struct Registers {
  using Float = __m256;
  static constexpr int kRows = 6, kColumns = 16;
  STRATA_ALWAYS_INLINE static Float multiply_add(Float x, Float y, Float sum) {
    return _mm256_fmadd_ps(x, y, sum);
  }
  STRATA_ALWAYS_INLINE static void stream(void* to, const void* from) {
    _mm256_stream_si256(static_cast<__m256i*>(to), *static_cast<const __m256i*>(from));
  }
};

}  // namespace

const MatmulTypes matmul_kernels{.f32 = kernels_of<FloatVector<Registers, FloatUnit>>,
                                 .bf16 = kernels_of<FloatVector<Registers, WidenedUnit>>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
