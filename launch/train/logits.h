// SPDX-License-Identifier: Apache-2.0
// Logits of a model in f32 on this machine's CPU, for comparing one way to hold it with another.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "launch/train/run_state.h"

namespace strata {

// Fills the weights of a runner whose model is that of the spec.
using FillWeights = std::function<void(StepRunner& runner, const UpdateRule& rule, const Loading& loading)>;

// Of every token of one sequence, [ids, vocab].
std::vector<float> model_logits(ModelSpec spec, const FillWeights& fill, std::span<const int32_t> ids);

// How far two lists of logits are from each other.
struct LogitsDistance {
  double largest = 0;        // |a - b|
  double magnitude = 0;      // the largest |b|
  int64_t same_choices = 0;  // tokens whose likeliest follower is the same
  int64_t tokens = 0;
};
LogitsDistance logits_distance(std::span<const float> a, std::span<const float> b, int64_t vocab);

}  // namespace strata
