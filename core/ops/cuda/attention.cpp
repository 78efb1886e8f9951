// SPDX-License-Identifier: Apache-2.0
// Where a faster attention will be chosen when there is one; today all of it goes to our own kernels.
#include "core/ops/attention.h"

#include "core/ops/cuda/attention_plain.h"
#include "core/ops/cuda/cuda_ops.h"

namespace strata::cuda {

int64_t attention_forward_scratch(const AttentionForward& args) {
  return plain_attention_forward_scratch(args);
}
int64_t attention_backward_scratch(const AttentionBackward& args) {
  return plain_attention_backward_scratch(args);
}

void attention_forward(Stream& stream, const AttentionForward& args) {
  plain_attention_forward(stream, args);
}
void attention_backward(Stream& stream, const AttentionBackward& args) {
  plain_attention_backward(stream, args);
}

}  // namespace strata::cuda
