// SPDX-License-Identifier: Apache-2.0
// Rows of a table by index, and the gradient of that: a scatter-add whose result does not depend on thread count.
#pragma once

#include "core/device/stream.h"
#include "core/ops/write.h"
#include "core/tensor/tensor.h"

namespace strata {

// out[t] (op)= table[ids[t]]. Ids must be in [0, rows of table): an id outside is Error(data) naming it.
struct EmbeddingForward {
  Tensor table;  // [rows, width], f32 or bf16
  Tensor ids;    // i32 [tokens]
  Tensor out;    // [tokens, width], dtype of table
  Write write = Write::overwrite;
};
void embedding_forward(Stream& stream, const EmbeddingForward& args);

// dtable[ids[t]] += dout[t], tokens in increasing order for each row. Write::overwrite zeroes dtable first.
struct EmbeddingBackward {
  Tensor ids;     // i32 [tokens]
  Tensor dout;    // [tokens, width], f32 or bf16
  Tensor dtable;  // f32 [rows, width]
  Write write = Write::accumulate;
};
void embedding_backward(Stream& stream, const EmbeddingBackward& args);

}  // namespace strata
