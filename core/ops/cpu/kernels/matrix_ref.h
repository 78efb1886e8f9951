// SPDX-License-Identifier: Apache-2.0
// Operands as kernels see them: plain pointers, because Tensor's functions must not be called from a kernel.
#pragma once

#include <cstdint>

#include "core/ops/cpu/kernels/isa_namespace.h"
#include "core/tensor/dtype.h"

namespace strata::cpu {

// A matrix with unit stride in dim 1, or a vector (stride unused). Null when the operand is absent.
struct MatrixRef {
  void* data = nullptr;
  int64_t stride = 0;  // elements from one row to the next
  DType dtype = DType::f32;

  template <typename T>
  STRATA_ALWAYS_INLINE T* row(int64_t i) const {
    return static_cast<T*>(data) + i * stride;
  }
};

// A range of rows or elements.
struct Range {
  int64_t begin = 0, end = 0;
};

}  // namespace strata::cpu
