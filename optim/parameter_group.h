// SPDX-License-Identifier: Apache-2.0
// What an update does differently from parameter to parameter.
#pragma once

#include "core/nn/parameter.h"

namespace strata {

// Matrices decay, embeddings among them as in GPT-2, Llama and OLMo (a tied embedding is the head's matrix as
// well). Norm gains and biases do not: decay would pull a gain towards 0, not towards doing nothing.
constexpr float weight_decay_of(const Parameter& parameter, float weight_decay) {
  return decays(parameter.role) ? weight_decay : 0.0f;
}

}  // namespace strata
