// SPDX-License-Identifier: Apache-2.0
#include "core/ops/preference.h"

#include <algorithm>
#include <numeric>

#include "core/device/cpu/cpu_stream.h"
#include "core/ops/cpu/cpu_ops.h"

namespace strata::cpu {
namespace {

void prefer(const PreferenceLoss& args, int64_t pair) {
  const std::span<const float> nll = args.nll.span<const float>();
  const int32_t* const begin = args.begin.data<int32_t>() + 3 * pair;
  const auto part = [&](auto all, int which) {
    return all.subspan(static_cast<size_t>(begin[which]),
                       static_cast<size_t>(begin[which + 1] - begin[which]));
  };
  double advantage = 0;  // of the chosen one, in nats
  for (const int which : {0, 1}) {
    const auto tokens = part(nll, which);
    const double log_p = -std::accumulate(tokens.begin(), tokens.end(), 0.0);
    const double gain = log_p - static_cast<double>(args.reference.data<float>()[2 * pair + which]);
    advantage += which == 0 ? gain : -gain;
  }
  const double beta = static_cast<double>(args.spec.beta);
  const PreferenceTerm term = preference_term(args.spec, beta * advantage);
  args.losses.data<float>()[pair] = static_cast<float>(term.loss);
  if (!args.weight) return;
  // h falls by beta for each nat that the chosen response's cross-entropy grows.
  const auto chosen = static_cast<float>(-beta * term.slope);
  for (const int which : {0, 1}) {
    const auto tokens = part(args.weight.span<float>(), which);
    std::fill(tokens.begin(), tokens.end(), which == 0 ? chosen : -chosen);
  }
}

}  // namespace

void preference_loss(Stream& stream, const PreferenceLoss& args) {
  cpu_stream(stream).enqueue([args] {
    for (int64_t pair = 0; pair < args.losses.numel(); ++pair) prefer(args, pair);
  });
}

}  // namespace strata::cpu
