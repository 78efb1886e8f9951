// SPDX-License-Identifier: Apache-2.0
// Rows of a table by index, and the gradient of that: a scatter-add whose result does not depend on thread count.
//
// A table may be part of a larger one: it has the rows of ids [first_id, first_id + its rows) of num_ids; an id of the
// other parts gives zeros, and adds nothing to the gradient. num_ids 0: there are no more than its own.
#pragma once

#include <cstdint>
#include <span>

#include "core/device/stream.h"
#include "core/ops/write.h"
#include "core/tensor/tensor.h"

namespace strata {

// Error(data) naming the first id outside [0, num_ids). The CPU's operations call it; a device that runs behind the
// host cannot, so whoever uploads ids to one calls it before.
void check_token_ids(std::span<const int32_t> ids, int64_t num_ids);

// out[t] (op)= table[ids[t] - first_id]. Ids must be in [0, num_ids): on a CPU one outside is
// Error(data) naming it; on a GPU its row of `out` becomes NaN, and it adds nothing to the gradient.
struct EmbeddingForward {
  Tensor table;  // [rows, width], f32 or bf16
  Tensor ids;    // i32 [tokens]
  Tensor out;    // [tokens, width], dtype of table
  Write write = Write::overwrite;
  int64_t first_id = 0, num_ids = 0;
};
void embedding_forward(Stream& stream, const EmbeddingForward& args);

// dtable[ids[t] - first_id] += dout[t], tokens in increasing order for each row. Write::overwrite zeroes dtable first.
struct EmbeddingBackward {
  Tensor ids;     // i32 [tokens]
  Tensor dout;    // [tokens, width], f32 or bf16
  Tensor dtable;  // f32 [rows, width]
  Write write = Write::accumulate;
  int64_t first_id = 0, num_ids = 0;
};
void embedding_backward(Stream& stream, const EmbeddingBackward& args);

}  // namespace strata
