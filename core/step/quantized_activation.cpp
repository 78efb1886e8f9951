// SPDX-License-Identifier: Apache-2.0
#include "core/step/quantized_activation.h"

#include "core/base/check.h"
#include "core/device/buffer.h"

namespace strata {

QuantizedActivation::QuantizedActivation(const Shape& x, Device target)
    : shape_(x),
      scales_shape_(scales_shape(ScaleShape::tile, x[0], x[1])),
      scales_begin_(round_up(x.numel() * size_of(DType::f8e4m3), kTensorAlignment)),
      scales_bytes_(scales_shape_.numel() * size_of(DType::f32)),
      staged_(target.kind == DeviceKind::cuda) {}

Quantized QuantizedActivation::over(std::byte* bytes, Device device) const {
  std::byte* const scales = bytes ? bytes + scales_begin_ : nullptr;
  return {.codes = Tensor::borrow(bytes, DType::f8e4m3, shape_, device),
          .scales = Tensor::borrow(scales, DType::f32, scales_shape_, device),
          .shape = ScaleShape::tile};
}

void QuantizedActivation::store(Stream& stream, const Tensor& x, std::byte* host) const {
  const Scratch::Scope scope(stream.scratch());
  std::byte* const codes = staged_ ? stream.scratch().take(bytes()) : host;
  quantize(stream, {.x = x, .rows = over(codes, stream.device()), .kind = ScaleKind::pow2});
  if (staged_) stream.copy_bytes(codes, host, bytes());
}

void QuantizedActivation::load(Stream& stream, std::byte* host, const Tensor& x) const {
  const Scratch::Scope scope(stream.scratch());
  std::byte* const codes = staged_ ? stream.scratch().take(bytes()) : host;
  if (staged_) stream.copy_bytes(host, codes, bytes());
  dequantize(stream, over(codes, stream.device()), x);
}

}  // namespace strata
