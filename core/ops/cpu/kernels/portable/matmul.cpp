// SPDX-License-Identifier: Apache-2.0
// Matrix products on any x86-64: SSE2, a product and a sum, both rounded. The tile fills the 16 registers.
#include "core/ops/cpu/kernels/float_vector.h"

#include <immintrin.h>

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

struct Registers {
  using Float = __m128;
  static constexpr int kRows = 4, kColumns = 8;
  STRATA_ALWAYS_INLINE static Float multiply_add(Float x, Float y, Float sum) {
    return _mm_add_ps(sum, _mm_mul_ps(x, y));
  }
  STRATA_ALWAYS_INLINE static void stream(void* to, const void* from) {
    _mm_stream_si128(static_cast<__m128i*>(to), *static_cast<const __m128i*>(from));
  }
};

}  // namespace

const MatmulTypes matmul_kernels{.f32 = kernels_of<FloatVector<Registers, FloatUnit>>,
                                 .bf16 = kernels_of<FloatVector<Registers, WidenedUnit>>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
