// SPDX-License-Identifier: Apache-2.0
// How CPU kernels are written, so that one binary serves every x86-64 machine.
//
// A file cpu/kernels/name.cpp is compiled four times, with the flags of each instruction set
// (core/ops/CMakeLists.txt) and STRATA_ISA_NAMESPACE = portable, avx2, avx512 or avx512_bf16. A file
// cpu/kernels/<isa>/name.cpp is compiled for that one only. A kernel exports one plain table of function
// pointers per instruction set:
//
//   // cpu/kernels/norm_kernels.h, included by both sides
//   struct NormKernels { void (*forward)(const NormRows&); };
//   STRATA_DECLARE_PER_ISA(const NormKernels norm_kernels);
//
//   // cpu/kernels/norm.cpp
//   namespace strata::cpu::STRATA_ISA_NAMESPACE {
//   namespace { void forward(const NormRows& rows) {...} }
//   const NormKernels norm_kernels{.forward = forward};
//   }
//
//   // cpu/norm.cpp, ordinary code
//   const NormKernels& kernels = STRATA_SELECT_ISA(active_isa(), norm_kernels);
//
// THE TRAP. An inline function or template of a common header that is not inlined leaves a weak copy in every
// object file that uses it, and the linker keeps any one of them: an AVX-512 copy would then run on a machine
// without AVX-512. So a kernel calls only functions that are `static`, in an anonymous namespace, in
// STRATA_ISA_NAMESPACE, or always_inline; it uses no standard containers, std::function, fmt or check(),
// throws nothing and allocates nothing. Arguments are checked by the ordinary code that calls it. The test
// `kernel_symbols` reads the object files and fails on a weak symbol.
#pragma once

#include "core/base/isa.h"

// For a function in a header shared by kernels.
#define STRATA_ALWAYS_INLINE [[gnu::always_inline]] inline

// Declares `declaration` in the namespace of each instruction set. Use in namespace strata::cpu.
#define STRATA_DECLARE_PER_ISA(declaration) \
  namespace portable {                      \
  extern declaration;                       \
  }                                         \
  namespace avx2 {                          \
  extern declaration;                       \
  }                                         \
  namespace avx512 {                        \
  extern declaration;                       \
  }                                         \
  namespace avx512_bf16 {                   \
  extern declaration;                       \
  }                                         \
  static_assert(true, "a semicolon follows")

// The object `name` of instruction set `isa`, as an lvalue. Use in namespace strata::cpu.
#define STRATA_SELECT_ISA(isa, name)                          \
  (*((isa) == ::strata::Isa::avx512_bf16 ? &avx512_bf16::name \
     : (isa) == ::strata::Isa::avx512    ? &avx512::name      \
     : (isa) == ::strata::Isa::avx2      ? &avx2::name        \
                                         : &portable::name))
