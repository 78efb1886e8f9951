// SPDX-License-Identifier: Apache-2.0
// The loss of direct preference optimization: which of two responses to a prompt is the better one, told from
// the log-probabilities that a model and a frozen reference give them. Source: Rafailov et al., "Direct
// Preference Optimization", 2023 (arXiv 2305.18290), equation 7; label smoothing: Mitchell, "A note on DPO
// with noisy preferences", 2023, equation 3.
//
//   h = beta ((log p(c) - log q(c)) - (log p(r) - log q(r)))      p: model, q: reference, c: chosen, r:
//   rejected loss = -(1 - smoothing) log sigmoid(h) - smoothing log sigmoid(-h)
#pragma once

#include <cmath>

#include "core/base/host_device.h"
#include "core/device/stream.h"
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
STRATA_HD inline PreferenceTerm preference_term(const PreferenceSpec& spec, double h) {
  const double smoothing = static_cast<double>(spec.smoothing);
  // log(1 + exp(-|h|)) and 1 / (1 + exp(-|h|)): no overflow on either side.
  const double tail = exp(-fabs(h)), rest = log1p(tail), likely = 1 / (1 + tail),
               unlikely = tail / (1 + tail);
  const double of_h = h >= 0 ? likely : unlikely, of_minus_h = h >= 0 ? unlikely : likely;
  return {.loss = (1 - smoothing) * ((h < 0 ? -h : 0) + rest) + smoothing * ((h > 0 ? h : 0) + rest),
          .slope = -(1 - smoothing) * of_minus_h + smoothing * of_h};
}

// The losses of pairs, and how much every token's cross-entropy weighs in the gradient: beta-scaled, of the
// other sign for rejected responses, 0 for tokens of none.
struct PreferenceLoss {
  PreferenceSpec spec;
  Tensor nll;        // f32 [T], 0 where there is no target
  Tensor begin;      // i32 [3 pairs], as ResponsePairs (core/nn/batch.h) has them, within T; these two
  Tensor reference;  // f32 [2 pairs]
  Tensor losses;     // f32 [pairs], written
  Tensor weight;     // f32 [T], written; absent: none is wanted
};
void preference_loss(Stream& stream, const PreferenceLoss& args);

}  // namespace strata
