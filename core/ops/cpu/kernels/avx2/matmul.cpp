// SPDX-License-Identifier: Apache-2.0
// Matrix products with AVX2 and FMA: 6 x 16 sums in 12 of the 16 registers.
#include "core/ops/cpu/kernels/matmul_tile.h"

#include <immintrin.h>

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

template <typename AnyUnit>
struct FloatVector {
  using Unit = AnyUnit;
  using Sum = __m256;
  using Factor = __m256;
  static constexpr int kLanes = 8, kRows = 6, kColumns = 16;
  STRATA_ALWAYS_INLINE static Sum zero() { return _mm256_setzero_ps(); }
  STRATA_ALWAYS_INLINE static Sum load(const float* x) { return _mm256_loadu_ps(x); }
  STRATA_ALWAYS_INLINE static void store(float* out, Sum x) { _mm256_storeu_ps(out, x); }
  STRATA_ALWAYS_INLINE static Sum add(Sum x, Sum y) { return _mm256_add_ps(x, y); }
  STRATA_ALWAYS_INLINE static Factor load_units(const uint32_t* x) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(x));
  }
  STRATA_ALWAYS_INLINE static Factor broadcast(const char* x) {
    float unit;
    __builtin_memcpy(&unit, x, sizeof unit);
    return _mm256_set1_ps(unit);
  }
  STRATA_ALWAYS_INLINE static Sum multiply_add(Factor x, Factor y, Sum sum) {
    return _mm256_fmadd_ps(x, y, sum);
  }
};

}  // namespace

const MatmulTypes matmul_kernels{.f32 = kernels_of<FloatVector<FloatUnit>>,
                                 .bf16 = kernels_of<FloatVector<WidenedUnit>>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
