// SPDX-License-Identifier: Apache-2.0
// The three products of a linear layer behind one interface. Layers and models call it without knowing the
// number format; precision/ binds others.
#pragma once

#include "core/nn/linear_recipe.h"
#include "core/nn/region.h"
#include "core/ops/decode_blocks.h"
#include "core/ops/matmul.h"

namespace strata {

// An activation or gradient as products consume it: what forward or backward_input multiplies, and later the
// weight gradient. A layer keeps values or columns of it until then (LinearLayer::keep_input).
struct LinearOperand {
  Tensor values;      // [tokens, features]; forward and backward_input read these
  Quantized columns;  // of values^T, for the weight gradient: forward and backward_input fill them if present
  Tensor amax;        // f32 [1], optional: the largest |value|, of whoever made them (LinearOp::wants_amax)

  LinearOperand() = default;
  LinearOperand(Tensor tensor)  // NOLINT(google-explicit-constructor): a tensor is an operand
      : values(std::move(tensor)) {}
  LinearOperand(Tensor tensor, Quantized codes, Tensor magnitude = {})
      : values(std::move(tensor)), columns(std::move(codes)), amax(std::move(magnitude)) {}
};

// A weight as the right operand [features out of the product, features that are summed] of quantized
// products: its codes, or panels of what they stand for where the device likes these better; the factors are
// with the codes.
struct QuantizedWeight {
  Quantized codes;
  PackedMatrix panels;
  explicit operator bool() const { return static_cast<bool>(codes); }
};

// A weight [out_features, in_features] with the layouts made from it once per optimizer step.
struct LinearWeight {
  Tensor weight;
  // Absent on a device that takes weights as they are.
  PackedMatrix forward;   // of weight^T: [in_features, out_features]
  PackedMatrix backward;  // of weight:   [out_features, in_features]
  // In place of these, for the products that the recipe wants of codes: of the weight, and of its transpose.
  LinearRecipe recipe = {};
  QuantizedWeight forward_codes = {}, backward_codes = {};
  // In place of `weight`, the codes that ranks have gathered of it: what the others are made of.
  Quantized gathered = {};
  // In place of all these, a weight in blocks: decoded before each product, into working memory.
  struct Blocks {
    Tensor bytes;  // u8
    WeightFormat format = WeightFormat::none;
    Shape shape;  // of the weight
  } blocks = {};

  bool is_packed() const { return forward || backward || forward_codes || backward_codes; }
};

class LinearOp {
 public:
  virtual ~LinearOp() = default;

  // Bytes of the packed layouts of a weight of this shape, and the views into them.
  virtual int64_t packed_bytes(Stream& stream, DType dtype, const Shape& shape,
                               const LinearRecipe& recipe) const = 0;
  virtual LinearWeight bind(Stream& stream, const Tensor& weight, std::byte* packed,
                            const LinearRecipe& recipe) const = 0;
  // The same of a weight of which there are codes alone (LinearRecipe::gather_codes); only of an operation
  // that follows recipes.
  virtual LinearWeight bind_codes(Stream& stream, const Quantized& codes, std::byte* packed,
                                  const LinearRecipe& recipe) const;
  virtual void pack(Stream& stream, const LinearWeight& weight) const = 0;

  // Memory of `region` for what the weight gradient wants of an operand [tokens, features] in place of its
  // values; absent where it wants the values.
  virtual Quantized take_columns(Region& region, const LinearRecipe& recipe, LinearSide side, int64_t tokens,
                                 int64_t features) const = 0;

  // Whether products would like LinearOperand::amax of an operand: a read of it less.
  virtual bool wants_amax(const LinearRecipe& /*recipe*/, LinearSide /*side*/) const { return false; }

  // y = x . weight^T (+ bias) (+ add)
  virtual void forward(Stream& stream, const LinearOperand& x, const LinearWeight& weight, const Tensor& bias,
                       const Tensor& add, const Tensor& y) const = 0;
  // dx = dy . weight
  virtual void backward_input(Stream& stream, const LinearOperand& dy, const LinearWeight& weight,
                              const Tensor& dx) const = 0;
  // dweight (op)= dy^T . x, f32; of values or columns, whichever an operand has.
  virtual void backward_weight(Stream& stream, const LinearOperand& dy, const LinearOperand& x,
                               const Tensor& dweight, Write write, const LinearRecipe& recipe) const = 0;
};

// Products in the dtype of the tensors (f32 or bf16), f32 accumulation.
const LinearOp& plain_linear_op();

}  // namespace strata
