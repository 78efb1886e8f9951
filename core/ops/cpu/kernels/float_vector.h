// SPDX-License-Identifier: Apache-2.0
// The Vector type of float products (see matmul_tile.h), over what differs from one instruction set to the
// next:
//
//   struct Registers {
//     using Float = ...;                      // a register of floats
//     static constexpr int kRows, kColumns;   // the tile of sums that the register file has room for
//     static Float multiply_add(Float x, Float y, Float sum);
//     static void stream(void* to, const void* from);  // one register, past the caches; both aligned to it
//   };
#pragma once

#include "core/ops/cpu/kernels/matmul_tile.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

template <typename AnyRegisters, typename AnyUnit>
struct FloatVector {
  using Registers = AnyRegisters;
  using Unit = AnyUnit;
  using Sum = typename Registers::Float;
  using Factor = Sum;
  static constexpr int kLanes = sizeof(Sum) / sizeof(float);
  static constexpr int kRows = Registers::kRows, kColumns = Registers::kColumns;

  STRATA_ALWAYS_INLINE static Sum zero() { return Sum{}; }
  STRATA_ALWAYS_INLINE static Sum load(const float* x) {
    Sum sum;
    __builtin_memcpy(&sum, x, sizeof sum);
    return sum;
  }
  STRATA_ALWAYS_INLINE static void store(float* out, Sum x) { __builtin_memcpy(out, &x, sizeof x); }
  STRATA_ALWAYS_INLINE static Sum add(Sum x, Sum y) { return x + y; }
  STRATA_ALWAYS_INLINE static Factor load_units(const uint32_t* x) {
    Factor units;
    __builtin_memcpy(&units, x, sizeof units);
    return units;
  }
  STRATA_ALWAYS_INLINE static Factor broadcast(const char* x) {
    float unit;
    __builtin_memcpy(&unit, x, sizeof unit);
    return unit - Factor{};  // keeps -0
  }
  STRATA_ALWAYS_INLINE static Sum multiply_add(Factor x, Factor y, Sum sum) {
    return Registers::multiply_add(x, y, sum);
  }
};

}  // namespace
}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
