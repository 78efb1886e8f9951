// SPDX-License-Identifier: Apache-2.0
// What stands for a boundary activation away from the device, in 8 bits: E4M3 codes and a power-of-two factor
// for every 128 elements of a row. Behind each other, 1 + 4/128 bytes an element where rows are whole tiles:
//   codes    e4m3 [rows, hidden]
//   factors  f32 [rows, ceil(hidden / 128)], from the next multiple of kTensorAlignment on
#pragma once

#include <cstddef>

#include "core/device/stream.h"
#include "core/ops/quantize.h"
#include "core/tensor/tensor.h"

namespace strata {

class QuantizedActivation {
 public:
  // Of a rank's x of that shape, [rows, hidden], on device `target`.
  QuantizedActivation(const Shape& x, Device target);

  int64_t bytes() const { return scales_begin_ + scales_bytes_; }

  // Makes codes of x, f32 or bf16, in memory of the host; and x of them, rounded to nearest even. A GPU works
  // on codes in the stream's working memory and copies them, a CPU where they stay. Memory must live as for
  // any operation of the stream.
  void store(Stream& stream, const Tensor& x, std::byte* host) const;
  void load(Stream& stream, std::byte* host, const Tensor& x) const;

 private:
  Quantized over(std::byte* bytes, Device device) const;

  Shape shape_, scales_shape_;
  int64_t scales_begin_, scales_bytes_;
  bool staged_;  // the device does not compute in memory of the host
};

}  // namespace strata
