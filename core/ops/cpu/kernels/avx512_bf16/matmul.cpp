// SPDX-License-Identifier: Apache-2.0
// Matrix products with AVX-512 and its bf16 dot product. vdpbf16ps adds two products to a sum, each addition
// rounded to nearest even whatever the control register says, and takes and gives zero for denormals: a
// product of bf16 values smaller than 2^-126 is lost.
#include "core/ops/cpu/kernels/avx512/registers.h"
#include "core/ops/cpu/kernels/float_vector.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

// Sums as those of floats; factors are pairs.
struct PairVector : FloatVector<Registers, PairUnit> {
  using Factor = __m512bh;
  STRATA_ALWAYS_INLINE static Factor load_units(const uint32_t* x) {
    return reinterpret_cast<Factor>(_mm512_loadu_si512(x));
  }
  // A row of bf16 may start at any even address.
  STRATA_ALWAYS_INLINE static Factor broadcast(const char* x) {
    int pair;
    __builtin_memcpy(&pair, x, sizeof pair);
    return reinterpret_cast<Factor>(_mm512_set1_epi32(pair));
  }
  // The last element of a row of odd length: what follows it in memory is not touched.
  STRATA_ALWAYS_INLINE static Factor broadcast_half(const char* x) {
    uint16_t element;
    __builtin_memcpy(&element, x, sizeof element);
    return reinterpret_cast<Factor>(_mm512_set1_epi32(element));
  }
  STRATA_ALWAYS_INLINE static Sum multiply_add(Factor x, Factor y, Sum sum) {
    return _mm512_dpbf16_ps(sum, x, y);
  }
};

}  // namespace

const MatmulTypes matmul_kernels{.f32 = kernels_of<FloatVector<Registers, FloatUnit>>,
                                 .bf16 = kernels_of<PairVector>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
