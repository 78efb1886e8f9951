// SPDX-License-Identifier: Apache-2.0
// AVX-512 for matrix products, with and without its bf16 dot product: 8 x 48 sums in 24 of the 32 registers.
#pragma once

#include <immintrin.h>

#include "core/ops/cpu/kernels/isa_namespace.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

struct Registers {
  using Float = __m512;
  static constexpr int kRows = 8, kColumns = 48;
  STRATA_ALWAYS_INLINE static Float multiply_add(Float x, Float y, Float sum) {
    return _mm512_fmadd_ps(x, y, sum);
  }
  STRATA_ALWAYS_INLINE static void stream(void* to, const void* from) {
    _mm512_stream_si512(static_cast<__m512i*>(to), *static_cast<const __m512i*>(from));
  }
};

}  // namespace
}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
