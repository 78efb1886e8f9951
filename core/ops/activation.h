// SPDX-License-Identifier: Apache-2.0
// Activations of the feed-forward layers. f32 or bf16 operands, arithmetic in f32, any row stride, unit
// stride in dim 1. amax, f32 [1], optional: raised to the largest magnitude of the result, as raise_amax
// (quantize.h) would.
#pragma once

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

// SwiGLU (Shazeer 2020): y = silu(gate) * up, where gate_up is [rows, 2 * width] with the gate first.
struct SwigluForward {
  Tensor gate_up;  // [rows, 2 * width]
  Tensor y;        // [rows, width]
  Tensor amax = {};
};
void swiglu_forward(Stream& stream, const SwigluForward& args);

struct SwigluBackward {
  Tensor gate_up, dy;  // [rows, 2 * width], [rows, width]
  Tensor dgate_up;     // [rows, 2 * width], may be gate_up itself
  Tensor amax = {};
};
void swiglu_backward(Stream& stream, const SwigluBackward& args);

// GELU in its tanh form (Hendrycks and Gimpel 2016), as GPT-2 has it:
// y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
struct GeluForward {
  Tensor x, y;
  Tensor amax = {};
};
void gelu_forward(Stream& stream, const GeluForward& args);

struct GeluBackward {
  Tensor x, dy;
  Tensor dx;  // may be dy or x itself
  Tensor amax = {};
};
void gelu_backward(Stream& stream, const GeluBackward& args);

}  // namespace strata
