// SPDX-License-Identifier: Apache-2.0
// Matrix products with AVX-512: 8 x 48 sums in 24 of the 32 registers; bf16 is widened to float.
#include "core/ops/cpu/kernels/matmul_tile.h"

#include <immintrin.h>

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

template <typename AnyUnit>
struct FloatVector {
  using Unit = AnyUnit;
  using Sum = __m512;
  using Factor = __m512;
  static constexpr int kLanes = 16, kRows = 8, kColumns = 48;
  STRATA_ALWAYS_INLINE static Sum zero() { return _mm512_setzero_ps(); }
  STRATA_ALWAYS_INLINE static Sum load(const float* x) { return _mm512_loadu_ps(x); }
  STRATA_ALWAYS_INLINE static void store(float* out, Sum x) { _mm512_storeu_ps(out, x); }
  STRATA_ALWAYS_INLINE static Sum add(Sum x, Sum y) { return _mm512_add_ps(x, y); }
  STRATA_ALWAYS_INLINE static Factor load_units(const uint32_t* x) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(x));
  }
  STRATA_ALWAYS_INLINE static Factor broadcast(const char* x) {
    float unit;
    __builtin_memcpy(&unit, x, sizeof unit);
    return _mm512_set1_ps(unit);
  }
  STRATA_ALWAYS_INLINE static Sum multiply_add(Factor x, Factor y, Sum sum) {
    return _mm512_fmadd_ps(x, y, sum);
  }
};

}  // namespace

const MatmulTypes matmul_kernels{.f32 = kernels_of<FloatVector<FloatUnit>>,
                                 .bf16 = kernels_of<FloatVector<WidenedUnit>>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
