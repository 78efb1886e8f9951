// SPDX-License-Identifier: Apache-2.0
#include "core/nn/linear_op.h"

namespace strata {
namespace {

// In working memory.
Tensor decode(Stream& stream, const LinearWeight::Blocks& blocks, DType dtype) {
  const int64_t bytes = blocks.shape.numel() * size_of(dtype);
  const Tensor decoded = Tensor::borrow(stream.scratch().take(bytes), dtype, blocks.shape, stream.device());
  decode_blocks(stream, {.blocks = blocks.bytes, .format = blocks.format, .out = decoded});
  return decoded;
}

class PlainLinearOp final : public LinearOp {
 public:
  int64_t packed_bytes(Stream& stream, DType dtype, const Shape& shape,
                       const LinearRecipe& /*recipe*/) const override {
    const int64_t out = shape[0], in = shape[1];
    return round_up(strata::packed_bytes(stream, dtype, in, out), kTensorAlignment) +
           round_up(strata::packed_bytes(stream, dtype, out, in), kTensorAlignment);
  }

  LinearWeight bind(Stream& stream, const Tensor& weight, std::byte* packed,
                    const LinearRecipe& recipe) const override {
    const int64_t out = weight.dim(0), in = weight.dim(1);
    if (packed_bytes(stream, weight.dtype(), weight.shape(), recipe) == 0) return {.weight = weight};
    auto view = [&](int64_t k, int64_t n, std::byte* bytes) {
      const int64_t size = strata::packed_bytes(stream, weight.dtype(), k, n);
      return PackedMatrix{Tensor::borrow(bytes, DType::u8, {size}, weight.device()), weight.dtype(), k, n};
    };
    const PackedMatrix forward = view(in, out, packed);
    const int64_t skip = round_up(forward.bytes.bytes(), kTensorAlignment);
    return {weight, forward, view(out, in, packed ? packed + skip : nullptr)};
  }

  void pack(Stream& stream, const LinearWeight& weight) const override {
    pack_both(stream, weight.weight, weight.forward, weight.backward);
  }

  Quantized take_columns(Region& /*region*/, const LinearRecipe& /*recipe*/, LinearSide /*side*/,
                         int64_t /*tokens*/, int64_t /*features*/) const override {
    return {};
  }

  void forward(Stream& stream, const LinearOperand& x, const LinearWeight& weight, const Tensor& bias,
               const Tensor& add, const Tensor& y) const override {
    if (weight.blocks.bytes) {
      const Scratch::Scope scope(stream.scratch());
      const Tensor decoded = decode(stream, weight.blocks, x.values.dtype());
      return matmul(stream, {.a = x.values, .b = decoded.t(), .out = y, .bias = bias, .add = add});
    }
    const Tensor b = weight.forward ? Tensor() : weight.weight.t();
    matmul(stream, {.a = x.values, .b = b, .packed_b = weight.forward, .out = y, .bias = bias, .add = add});
  }

  void backward_input(Stream& stream, const LinearOperand& dy, const LinearWeight& weight,
                      const Tensor& dx) const override {
    if (weight.blocks.bytes) {
      const Scratch::Scope scope(stream.scratch());
      return matmul(stream,
                    {.a = dy.values, .b = decode(stream, weight.blocks, dy.values.dtype()), .out = dx});
    }
    const Tensor b = weight.backward ? Tensor() : weight.weight;
    matmul(stream, {.a = dy.values, .b = b, .packed_b = weight.backward, .out = dx});
  }

  void backward_weight(Stream& stream, const LinearOperand& dy, const LinearOperand& x, const Tensor& dweight,
                       Write write, const LinearRecipe& /*recipe*/) const override {
    matmul(stream, {.a = dy.values.t(), .b = x.values, .out = dweight, .write = write});
  }
};

}  // namespace

LinearWeight LinearOp::bind_codes(Stream& /*stream*/, const Quantized& /*codes*/, std::byte* /*packed*/,
                                  const LinearRecipe& /*recipe*/) const {
  fail_contract("[linear] codes of a weight, and an operation that takes values");
}

const LinearOp& plain_linear_op() {
  static const PlainLinearOp op;
  return op;
}

}  // namespace strata
