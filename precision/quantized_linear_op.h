// SPDX-License-Identifier: Apache-2.0
// The products of linear layers by their recipes: operands are quantized right before the product, what the
// weight gradient will want of them in the same read; weights once per optimizer step, as they are packed.
// Layers without a recipe, and products that theirs leaves out, are plain ones, bit for bit.
//
// A factor belongs to an operand as one rank multiplies it: a share of a layer that is cut over ranks is a
// matrix of its own.
#pragma once

#include "core/nn/linear_op.h"

namespace strata {

class DelayedScales;
class QuantizationCounters;

class QuantizedLinearOp : public LinearOp {
 public:
  QuantizedLinearOp() = default;
  // Null where no layer has delayed factors, or nothing is counted. Both outlive this.
  QuantizedLinearOp(const DelayedScales* delayed, const QuantizationCounters* counters)
      : delayed_(delayed), counters_(counters) {}

  int64_t packed_bytes(Stream& stream, DType dtype, const Shape& shape,
                       const LinearRecipe& recipe) const override;
  LinearWeight bind(Stream& stream, const Tensor& weight, std::byte* packed,
                    const LinearRecipe& recipe) const override;
  LinearWeight bind_codes(Stream& stream, const Quantized& codes, std::byte* packed,
                          const LinearRecipe& recipe) const override;
  void pack(Stream& stream, const LinearWeight& weight) const override;
  Quantized take_columns(Region& region, const LinearRecipe& recipe, LinearSide side, int64_t tokens,
                         int64_t features) const override;
  bool wants_amax(const LinearRecipe& recipe, LinearSide side) const override;
  void forward(Stream& stream, const LinearOperand& x, const LinearWeight& weight, const Tensor& bias,
               const Tensor& add, const Tensor& y) const override;
  void backward_input(Stream& stream, const LinearOperand& dy, const LinearWeight& weight,
                      const Tensor& dx) const override;
  void backward_weight(Stream& stream, const LinearOperand& dy, const LinearOperand& x, const Tensor& dweight,
                       Write write, const LinearRecipe& recipe) const override;

 private:
  // In working memory, absent where the product is not quantized; fills the operand's columns, if it has any.
  Quantized rows_of(Stream& stream, const LinearOperand& operand, const ProductRecipe& product,
                    const LinearRecipe& recipe, LinearSide side) const;
  Quantized columns_of(Stream& stream, const LinearOperand& operand, const LinearRecipe& recipe,
                       LinearSide side) const;
  void quantize_operand(Stream& stream, const LinearOperand& operand, const Quantized& rows,
                        const Quantized& columns, const LinearRecipe& recipe, LinearSide side) const;

  const DelayedScales* delayed_ = nullptr;
  const QuantizationCounters* counters_ = nullptr;
};

// Without tables: delayed factors are taken from the tensors themselves, nothing is counted.
const LinearOp& quantized_linear_op();

}  // namespace strata
