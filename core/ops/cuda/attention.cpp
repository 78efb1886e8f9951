// SPDX-License-Identifier: Apache-2.0
// Attention by the attention library where it can, else by our own kernels.
#include "core/ops/attention.h"

#include <algorithm>

#include "core/ops/cuda/attention_plain.h"
#include "core/ops/cuda/attention_sdpa.h"
#include "core/ops/cuda/cuda_ops.h"

namespace strata::cuda {

int64_t attention_forward_scratch(const AttentionForward& args) {
  return std::max(plain_attention_forward_scratch(args), sdpa_attention_forward_scratch(args));
}
int64_t attention_backward_scratch(const AttentionBackward& args) {
  return std::max(plain_attention_backward_scratch(args), sdpa_attention_backward_scratch(args));
}

void attention_forward(Stream& stream, const AttentionForward& args) {
  if (!sdpa_attention_forward(stream, args)) plain_attention_forward(stream, args);
}
void attention_backward(Stream& stream, const AttentionBackward& args) {
  if (!sdpa_attention_backward(stream, args)) plain_attention_backward(stream, args);
}

}  // namespace strata::cuda
