// SPDX-License-Identifier: Apache-2.0
// Weights that are kept in blocks (core/format/weight_format.h) as the elements they stand for: before a
// product, into working memory.
#pragma once

#include "core/device/stream.h"
#include "core/format/weight_format.h"
#include "core/tensor/tensor.h"

namespace strata {

struct DecodeBlocks {
  Tensor blocks;  // u8 [encoded_bytes(format, elements of out)]
  WeightFormat format = WeightFormat::nf4;
  Tensor out;  // f32 or bf16 (rounded to nearest even), contiguous
};

void decode_blocks(Stream& stream, const DecodeBlocks& args);

}  // namespace strata
