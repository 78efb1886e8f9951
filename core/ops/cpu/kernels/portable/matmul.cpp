// SPDX-License-Identifier: Apache-2.0
// Matrix products on any x86-64: SSE2, a product and a sum, both rounded. The tile fills the 16 registers.
#include "core/ops/cpu/kernels/matmul_tile.h"

#include <immintrin.h>

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

template <typename AnyUnit>
struct FloatVector {
  using Unit = AnyUnit;
  using Sum = __m128;
  using Factor = __m128;
  static constexpr int kLanes = 4, kRows = 4, kColumns = 8;
  STRATA_ALWAYS_INLINE static Sum zero() { return _mm_setzero_ps(); }
  STRATA_ALWAYS_INLINE static Sum load(const float* x) { return _mm_loadu_ps(x); }
  STRATA_ALWAYS_INLINE static void store(float* out, Sum x) { _mm_storeu_ps(out, x); }
  STRATA_ALWAYS_INLINE static Sum add(Sum x, Sum y) { return _mm_add_ps(x, y); }
  STRATA_ALWAYS_INLINE static Factor load_units(const uint32_t* x) {
    return _mm_loadu_ps(reinterpret_cast<const float*>(x));
  }
  STRATA_ALWAYS_INLINE static Factor broadcast(const char* x) {
    float unit;
    __builtin_memcpy(&unit, x, sizeof unit);
    return _mm_set1_ps(unit);
  }
  STRATA_ALWAYS_INLINE static Sum multiply_add(Factor x, Factor y, Sum sum) {
    return _mm_add_ps(sum, _mm_mul_ps(x, y));
  }
};

}  // namespace

const MatmulTypes matmul_kernels{.f32 = kernels_of<FloatVector<FloatUnit>>,
                                 .bf16 = kernels_of<FloatVector<WidenedUnit>>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
