// SPDX-License-Identifier: Apache-2.0
// Attention by hand-written kernels: f32 or bf16, any head sizes up to 256 of queries and keys and of values, which
// may differ, any segments. It does not use tensor cores.
//
// Operands as in core/ops/attention.h, but that heads of v, out and dout are v.dim(1) / kv_heads wide.
// Nothing of the host's is read after the call returns. Same bits every run. Memory: tables of segments in
// scratch.
#pragma once

#include "core/ops/attention.h"

namespace strata::cuda {

void plain_attention_forward(Stream& stream, const AttentionForward& args);
void plain_attention_backward(Stream& stream, const AttentionBackward& args);

// Bytes of scratch, exactly; they depend on shapes alone, not on the segments.
int64_t plain_attention_forward_scratch(const AttentionForward& args);
int64_t plain_attention_backward_scratch(const AttentionBackward& args);

}  // namespace strata::cuda
