// SPDX-License-Identifier: Apache-2.0
#include "precision/quantized_linear_op.h"

#include "core/ops/elementwise.h"
#include "precision/delayed_scales.h"
#include "precision/quantization_counters.h"

namespace strata {
namespace {

Quantized take(Region& region, const OperandRecipe& recipe, int64_t rows, int64_t k) {
  return {region.take(dtype_of(recipe.format), {rows, k}),
          region.take(DType::f32, scales_shape(recipe.shape, rows, k)), recipe.shape};
}

Quantized take_scratch(Stream& stream, const OperandRecipe& recipe, int64_t rows, int64_t k) {
  Region region = Region::temporary(stream.scratch(), stream.device());
  return take(region, recipe, rows, k);
}

// A weight [n, k] of a product that is quantized: its factors, then panels or codes.
int64_t weight_bytes(Stream& stream, const OperandRecipe& recipe, int64_t n, int64_t k) {
  const int64_t panels = packed_bytes(stream, DType::bf16, k, n);
  return round_up(scales_shape(recipe.shape, n, k).numel() * size_of(DType::f32), kTensorAlignment) +
         round_up(panels > 0 ? panels : n * k, kTensorAlignment);
}

QuantizedWeight bind_weight(Stream& stream, const OperandRecipe& recipe, int64_t n, int64_t k,
                            Region& region) {
  QuantizedWeight weight;
  weight.codes.shape = recipe.shape;
  weight.codes.scales = region.take(DType::f32, scales_shape(recipe.shape, n, k));
  if (const int64_t panels = packed_bytes(stream, DType::bf16, k, n); panels > 0)
    weight.panels = {region.take(DType::u8, {panels}), DType::bf16, k, n};
  else
    weight.codes.codes = region.take(dtype_of(recipe.format), {n, k});
  return weight;
}

PackedMatrix bind_plain(Stream& stream, DType dtype, int64_t k, int64_t n, Region& region) {
  const int64_t bytes = packed_bytes(stream, dtype, k, n);
  return bytes > 0 ? PackedMatrix{region.take(DType::u8, {bytes}), dtype, k, n} : PackedMatrix{};
}

void multiply(Stream& stream, const Quantized& a, const QuantizedWeight& b, const Tensor& bias,
              const Tensor& add, const Tensor& out) {
  quantized_matmul(stream,
                   {.a = a, .b = b.codes, .packed_b = b.panels, .out = out, .bias = bias, .add = add});
}

// Both directions of a weight's codes: values that they stand for without a factor are exact in bf16, and
// with a factor of 1 they become the same codes again.
void turn_codes(Stream& stream, const Quantized& gathered, const Tensor& rows, const Tensor& columns) {
  const Tensor& codes = gathered.codes;
  const auto take = [&](DType dtype, const Shape& shape) {
    return Tensor::borrow(stream.scratch().take(shape.numel() * size_of(dtype)), dtype, shape,
                          stream.device());
  };
  const Tensor one = take(DType::f32, {1}), values = take(DType::bf16, codes.shape());
  fill(stream, one, 1);
  dequantize(stream, {codes, one, ScaleShape::tensor}, values);
  quantize(stream, {.x = values,
                    .rows = {rows, take(DType::f32, {1}), ScaleShape::tensor},
                    .columns = {columns, take(DType::f32, {1}), ScaleShape::tensor},
                    .given = one});
}

}  // namespace

int64_t QuantizedLinearOp::packed_bytes(Stream& stream, DType dtype, const Shape& shape,
                                        const LinearRecipe& recipe) const {
  if (!recipe.any()) return plain_linear_op().packed_bytes(stream, dtype, shape, recipe);
  const int64_t out = shape[0], in = shape[1];
  const auto bytes = [&](const ProductRecipe& product, int64_t n, int64_t k) {
    return product.quantized ? weight_bytes(stream, product.right, n, k)
                             : round_up(strata::packed_bytes(stream, dtype, k, n), kTensorAlignment);
  };
  return bytes(recipe.forward, out, in) + bytes(recipe.backward_input, in, out);
}

LinearWeight QuantizedLinearOp::bind(Stream& stream, const Tensor& weight, std::byte* packed,
                                     const LinearRecipe& recipe) const {
  LinearWeight bound;
  if (!recipe.any()) {
    bound = plain_linear_op().bind(stream, weight, packed, recipe);
  } else {
    const int64_t out = weight.dim(0), in = weight.dim(1);
    Region region(packed, packed_bytes(stream, weight.dtype(), weight.shape(), recipe), weight.device());
    bound.weight = weight;
    if (recipe.forward.quantized)
      bound.forward_codes = bind_weight(stream, recipe.forward.right, out, in, region);
    else
      bound.forward = bind_plain(stream, weight.dtype(), in, out, region);
    if (recipe.backward_input.quantized)
      bound.backward_codes = bind_weight(stream, recipe.backward_input.right, in, out, region);
    else
      bound.backward = bind_plain(stream, weight.dtype(), out, in, region);
  }
  bound.recipe = recipe;
  return bound;
}

// Factors stay where they came to; blocks have the same ones in the transpose.
LinearWeight QuantizedLinearOp::bind_codes(Stream& stream, const Quantized& codes, std::byte* packed,
                                           const LinearRecipe& recipe) const {
  const Tensor shape_alone = Tensor::borrow(nullptr, DType::bf16, codes.codes.shape(), codes.codes.device());
  LinearWeight bound = bind(stream, shape_alone, packed, recipe);
  bound.weight = {};
  bound.gathered = codes;
  bound.forward_codes.codes.scales = codes.scales;
  bound.backward_codes.codes.scales = codes.shape == ScaleShape::block ? codes.scales.t() : codes.scales;
  return bound;
}

void QuantizedLinearOp::pack(Stream& stream, const LinearWeight& weight) const {
  const LinearRecipe& recipe = weight.recipe;
  if (!recipe.any()) return plain_linear_op().pack(stream, weight);
  const Tensor& w = weight.weight;
  if (weight.forward) strata::pack(stream, w.t(), weight.forward);
  if (weight.backward) strata::pack(stream, w, weight.backward);
  if (!weight.forward_codes && !weight.backward_codes) return;

  const Scratch::Scope scope(stream.scratch());
  // Codes that only panels are made of lie in working memory.
  const auto codes_of = [&](const QuantizedWeight& side, const OperandRecipe& operand, int64_t n, int64_t k) {
    Quantized codes = side.codes;
    if (side && !codes.codes)
      codes.codes =
          Tensor::borrow(stream.scratch().take(n * k), dtype_of(operand.format), {n, k}, stream.device());
    return codes;
  };
  const Shape& shape = weight.gathered ? weight.gathered.codes.shape() : w.shape();
  const int64_t out = shape[0], in = shape[1];
  const Quantized rows = codes_of(weight.forward_codes, recipe.forward.right, out, in);
  const Quantized columns = codes_of(weight.backward_codes, recipe.backward_input.right, in, out);
  if (weight.gathered)
    turn_codes(stream, weight.gathered, rows.codes, columns.codes);
  else
    quantize(stream, {.x = w, .rows = rows, .columns = columns, .kind = recipe.kind});
  if (weight.forward_codes.panels) pack_codes(stream, rows, weight.forward_codes.panels);
  if (weight.backward_codes.panels) pack_codes(stream, columns, weight.backward_codes.panels);
}

Quantized QuantizedLinearOp::take_columns(Region& region, const LinearRecipe& recipe, LinearSide side,
                                          int64_t tokens, int64_t features) const {
  const ProductRecipe& product = recipe.backward_weight;
  if (!product.quantized) return {};
  return take(region, side == LinearSide::input ? product.right : product.left, features, tokens);
}

// Where a factor is the whole tensor's, of this step or, by way of the history, of later ones.
bool QuantizedLinearOp::wants_amax(const LinearRecipe& recipe, LinearSide side) const {
  const auto by_tensor = [](const ProductRecipe& product, const OperandRecipe& operand) {
    return product.quantized && operand.shape == ScaleShape::tensor;
  };
  const ProductRecipe& weight = recipe.backward_weight;
  return side == LinearSide::input
             ? by_tensor(recipe.forward, recipe.forward.left) || by_tensor(weight, weight.right)
             : by_tensor(recipe.backward_input, recipe.backward_input.left) || by_tensor(weight, weight.left);
}

void QuantizedLinearOp::quantize_operand(Stream& stream, const LinearOperand& operand, const Quantized& rows,
                                         const Quantized& columns, const LinearRecipe& recipe,
                                         LinearSide side) const {
  Quantize args{
      .x = operand.values, .rows = rows, .columns = columns, .kind = recipe.kind, .known = operand.amax};
  // Tables are a real device's.
  if (stream.device().kind != DeviceKind::meta) {
    if (recipe.delayed && delayed_) {
      args.given = delayed_->factor(recipe.site, side);
      args.amax = delayed_->amax(recipe.site, side);
    }
    if (counters_) args.counts = counters_->counts(recipe.site, side);
  }
  quantize(stream, args);
}

Quantized QuantizedLinearOp::rows_of(Stream& stream, const LinearOperand& operand,
                                     const ProductRecipe& product, const LinearRecipe& recipe,
                                     LinearSide side) const {
  const Tensor& values = operand.values;
  Quantized rows;
  if (product.quantized) rows = take_scratch(stream, product.left, values.dim(0), values.dim(1));
  if (rows || operand.columns) quantize_operand(stream, operand, rows, operand.columns, recipe, side);
  return rows;
}

void QuantizedLinearOp::forward(Stream& stream, const LinearOperand& x, const LinearWeight& weight,
                                const Tensor& bias, const Tensor& add, const Tensor& y) const {
  const LinearRecipe& recipe = weight.recipe;
  const Scratch::Scope scope(stream.scratch());
  if (const Quantized rows = rows_of(stream, x, recipe.forward, recipe, LinearSide::input))
    multiply(stream, rows, weight.forward_codes, bias, add, y);
  else
    plain_linear_op().forward(stream, x, weight, bias, add, y);
}

void QuantizedLinearOp::backward_input(Stream& stream, const LinearOperand& dy, const LinearWeight& weight,
                                       const Tensor& dx) const {
  const LinearRecipe& recipe = weight.recipe;
  const Scratch::Scope scope(stream.scratch());
  if (const Quantized rows = rows_of(stream, dy, recipe.backward_input, recipe, LinearSide::gradient))
    multiply(stream, rows, weight.backward_codes, {}, {}, dx);
  else
    plain_linear_op().backward_input(stream, dy, weight, dx);
}

Quantized QuantizedLinearOp::columns_of(Stream& stream, const LinearOperand& operand,
                                        const LinearRecipe& recipe, LinearSide side) const {
  if (operand.columns) return operand.columns;
  const ProductRecipe& product = recipe.backward_weight;
  const OperandRecipe& wanted = side == LinearSide::input ? product.right : product.left;
  const Quantized columns = take_scratch(stream, wanted, operand.values.dim(1), operand.values.dim(0));
  quantize_operand(stream, operand, {}, columns, recipe, side);
  return columns;
}

void QuantizedLinearOp::backward_weight(Stream& stream, const LinearOperand& dy, const LinearOperand& x,
                                        const Tensor& dweight, Write write,
                                        const LinearRecipe& recipe) const {
  if (!recipe.backward_weight.quantized)
    return plain_linear_op().backward_weight(stream, dy, x, dweight, write, recipe);
  const Scratch::Scope scope(stream.scratch());
  const Quantized left = columns_of(stream, dy, recipe, LinearSide::gradient);
  const Quantized right = columns_of(stream, x, recipe, LinearSide::input);
  quantized_matmul(stream, {.a = left, .b = right, .out = dweight, .write = write});
}

const LinearOp& quantized_linear_op() {
  static const QuantizedLinearOp op;
  return op;
}

}  // namespace strata
