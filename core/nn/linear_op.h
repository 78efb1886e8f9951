// SPDX-License-Identifier: Apache-2.0
// The three products of a linear layer behind one interface. Layers and models call it without knowing the
// number format; precision/ binds others.
#pragma once

#include "core/ops/decode_blocks.h"
#include "core/ops/matmul.h"

namespace strata {

// An activation or gradient as a product consumes it. Today a plain tensor; a quantized form (codes and
// scales) will be another member, filled by producers that asked what the consumer wants.
struct LinearOperand {
  Tensor values;  // [tokens, features]

  LinearOperand(Tensor tensor)
      : values(std::move(tensor)) {}  // NOLINT(google-explicit-constructor): a tensor is an operand
};

// A weight [out_features, in_features] with the layouts made from it once per optimizer step.
struct LinearWeight {
  Tensor weight;
  // Absent on a device that takes weights as they are.
  PackedMatrix forward;   // of weight^T: [in_features, out_features]
  PackedMatrix backward;  // of weight:   [out_features, in_features]
  // In place of all these, a weight in blocks: decoded before each product, into working memory.
  struct Blocks {
    Tensor bytes;  // u8
    WeightFormat format = WeightFormat::none;
    Shape shape;  // of the weight
  } blocks = {};
};

class LinearOp {
 public:
  virtual ~LinearOp() = default;

  // Bytes of the packed layouts of a weight of this shape, and the views into them.
  virtual int64_t packed_bytes(Stream& stream, DType dtype, const Shape& shape) const = 0;
  virtual LinearWeight bind(Stream& stream, const Tensor& weight, std::byte* packed) const = 0;
  virtual void pack(Stream& stream, const LinearWeight& weight) const = 0;

  // y = x . weight^T (+ bias) (+ add)
  virtual void forward(Stream& stream, const LinearOperand& x, const LinearWeight& weight, const Tensor& bias,
                       const Tensor& add, const Tensor& y) const = 0;
  // dx = dy . weight
  virtual void backward_input(Stream& stream, const LinearOperand& dy, const LinearWeight& weight,
                              const Tensor& dx) const = 0;
  // dweight (op)= dy^T . x, f32
  virtual void backward_weight(Stream& stream, const LinearOperand& dy, const LinearOperand& x,
                               const Tensor& dweight, Write write) const = 0;
};

// Products in the dtype of the tensors (f32 or bf16), f32 accumulation.
const LinearOp& plain_linear_op();

}  // namespace strata
