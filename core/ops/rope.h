// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021), halves convention of the Llama checkpoints in Hugging Face
// form: element i of a head turns together with element i + head_dim / 2.
#pragma once

#include "core/device/stream.h"
#include "core/tensor/tensor.h"

namespace strata {

struct Rope {
  Tensor x;              // [tokens, heads * head_dim], f32 or bf16, any row stride; turned in place
  Tensor positions;      // i32 [tokens]
  Tensor cos, sin;       // f32 [max_positions, head_dim / 2]
  bool inverse = false;  // true: turn back, which is the backward pass
  Tensor amax =
      {};  // f32 [1], optional: raised to the largest |x| behind the turn, as raise_amax (quantize.h)
};
void rope(Stream& stream, const Rope& args);

}  // namespace strata
