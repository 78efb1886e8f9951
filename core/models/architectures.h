// SPDX-License-Identifier: Apache-2.0
// The table of model architectures: one file and one row each.
#pragma once

#include <span>

#include "core/nn/model.h"

namespace strata {

struct Architecture {
  const char* name;
  const char* summary;
  Model (*make)(const ModelSpec& spec, const Split& split);
};

std::span<const Architecture> architectures();

// What `split` leaves here of the model of spec.arch, with weights and activations in `compute` (f32 or
// bf16). Missing optional sizes must have been filled in (kv_heads, head_dim). Throws Error(usage) naming the
// known architectures, or the size that does not fit.
Model make_model(const ModelSpec& spec, DType compute, const Split& split = {});

}  // namespace strata
