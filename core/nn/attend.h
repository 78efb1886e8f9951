// SPDX-License-Identifier: Apache-2.0
// Attention of the queries held here over all keys of their documents, wherever those are (Context::keys).
#pragma once

#include "core/nn/context.h"

namespace strata {

// k, v (dk, dv) are those held here; `segments` are taken from the batch. Partial results over the pieces of
// keys are merged in f32.
void attend(Context& ctx, const AttentionForward& args);
void attend_backward(Context& ctx, const AttentionBackward& args);

}  // namespace strata
