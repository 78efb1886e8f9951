// SPDX-License-Identifier: Apache-2.0
// The loss of direct preference optimization: which of two responses to a prompt is the better one, told from
// the log-probabilities that a model and a frozen reference give them. Source: Rafailov et al., "Direct
// Preference Optimization", 2023 (arXiv 2305.18290), equation 7; label smoothing: Mitchell, "A note on DPO
// with noisy preferences", 2023, equation 3.
//
//   h = beta ((log p(c) - log q(c)) - (log p(r) - log q(r)))      p: model, q: reference, c: chosen, r:
//   rejected loss = -(1 - smoothing) log sigmoid(h) - smoothing log sigmoid(-h)
#pragma once

#include <span>

#include "core/device/stream.h"
#include "core/ops/loss_sum.h"
#include "core/tensor/tensor.h"

namespace strata {

struct PreferenceSpec {
  bool on = false;
  float beta = 0.1f;
  float smoothing = 0;  // the share of labels that are the wrong way round
};

// The loss of one pair and its derivative by h, in double.
struct PreferenceTerm {
  double loss = 0, slope = 0;
};
PreferenceTerm preference_term(const PreferenceSpec& spec, double h);

// Adds the losses of pairs to *sum, each as one target, and says how much every token's cross-entropy weighs
// in the gradient: beta-scaled, of the other sign for rejected responses, 0 for tokens of none. On a CPU (and
// meta) alone.
struct PreferenceLoss {
  PreferenceSpec spec;
  Tensor nll;                        // f32 [T], 0 where there is no target
  std::span<const int32_t> begin;    // [3 pairs], as ResponsePairs (core/nn/batch.h) has them; these two
  std::span<const float> reference;  // must live until the work is done
  Tensor weight;                     // f32 [T]; absent: none is wanted
  LossSum* sum = nullptr;            // must live until the work is done
};
void preference_loss(Stream& stream, const PreferenceLoss& args);

}  // namespace strata
