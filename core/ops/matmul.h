// SPDX-License-Identifier: Apache-2.0
// Matrix products: out = a . b, with the pieces a linear layer needs fused in.
//
// Layouts: a is [m, k] and b is [k, n]; each is f32 or bf16 (both the same) with unit stride in one of its
// dims, so that x.t() is a valid operand. Products accumulate in f32 over the whole of k in one fixed order
// per output element. On a CPU the bits do not depend on the number of threads, nor on m (a row's result is
// the same alone or in any batch). On a GPU they are the same in every run for the same shapes, strides and
// alignment; another m may take another order.
//
// A weight that is multiplied many times is packed once per optimizer step (`pack`) and passed as `packed_b`.
// A GPU takes weights as they are: packed_bytes() is 0 there.
#pragma once

#include "core/device/stream.h"
#include "core/ops/write.h"
#include "core/tensor/tensor.h"

namespace strata {

// The layout the device's product likes best for its right operand: opaque bytes for one (dtype, k, n) and
// one ISA.
struct PackedMatrix {
  Tensor bytes;  // u8 [packed_bytes(...)]
  DType dtype = DType::f32;
  int64_t k = 0, n = 0;

  explicit operator bool() const { return static_cast<bool>(bytes); }
};

// Bytes that pack() needs on a device (of the meta stream: its target's).
int64_t packed_bytes(Stream& stream, DType dtype, int64_t k, int64_t n);
// b is [k, n], unit stride in either dim. Fills packed.bytes.
void pack(Stream& stream, const Tensor& b, const PackedMatrix& packed);
// pack(weight.t(), transposed) and pack(weight, plain), the weight being read once: what a linear layer needs
// of a weight [out_features, in_features] after every update.
void pack_both(Stream& stream, const Tensor& weight, const PackedMatrix& transposed,
               const PackedMatrix& plain);

struct Matmul {
  Tensor a;               // [m, k]
  Tensor b;               // [k, n]; or absent, with:
  PackedMatrix packed_b;  // the same, packed
  Tensor out;             // [m, n], unit stride in n; f32, or the dtype of a
  Tensor bias;            // [n], dtype of a or f32, added to every row; optional
  Tensor add;             // [m, n], dtype of out, unit stride in n, may be `out` itself; added; optional
  Write write = Write::overwrite;  // accumulate: out (f32 only) += the finished product
};

void matmul(Stream& stream, const Matmul& args);

}  // namespace strata
