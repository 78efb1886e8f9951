// SPDX-License-Identifier: Apache-2.0
// Attention by the attention library (sdpa.h), for what it can do: bf16 throughout, head sizes that are
// multiples of 8 up to 256, whole sequences that lie one behind the other. A few heads at a time where the
// scores that backward keeps for bits that never change would take too much memory.
#pragma once

#include "core/ops/attention.h"

namespace strata::cuda {

// Working memory of backward: what all heads of the longest sequence there can be take, if that is less than
// this; or what the heads of one key/value head take of it, if that is more; at most kSdpaMostMemory.
inline constexpr int64_t kSdpaMemory = int64_t{512} << 20, kSdpaMostMemory = int64_t{4} << 30;

// False: nothing was done, this must go to other kernels. Same bits every run either way.
bool sdpa_attention_forward(Stream& stream, const AttentionForward& args);
bool sdpa_attention_backward(Stream& stream, const AttentionBackward& args, int64_t memory = kSdpaMemory);

// Bytes of scratch, at most; of shapes and types alone. 0 when it is never done.
int64_t sdpa_attention_forward_scratch(const AttentionForward& args);
int64_t sdpa_attention_backward_scratch(const AttentionBackward& args, int64_t memory = kSdpaMemory);

}  // namespace strata::cuda
