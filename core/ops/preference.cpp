// SPDX-License-Identifier: Apache-2.0
#include "core/ops/preference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

// log(1 + exp(x)) without overflow.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

void run(const PreferenceLoss& args) {
  const auto nll = args.nll.span<const float>();
  const std::span<float> weight = args.weight ? args.weight.span<float>() : std::span<float>();
  std::fill(weight.begin(), weight.end(), 0.0f);
  for (size_t pair = 0; pair < args.reference.size() / 2; ++pair) {
    const auto part = [&](auto all, size_t which) {
      const auto begin = static_cast<size_t>(args.begin[3 * pair + which]);
      return all.subspan(begin, static_cast<size_t>(args.begin[3 * pair + which + 1]) - begin);
    };
    double advantage = 0;  // of the chosen one, in nats
    for (const size_t which : {0u, 1u}) {
      const auto tokens = part(nll, which);
      const double log_p = -std::accumulate(tokens.begin(), tokens.end(), 0.0);
      const double gain = log_p - static_cast<double>(args.reference[2 * pair + which]);
      advantage += which == 0 ? gain : -gain;
    }
    const double beta = static_cast<double>(args.spec.beta);
    const PreferenceTerm term = preference_term(args.spec, beta * advantage);
    ++args.sum->targets;
    if (std::isfinite(term.loss))
      args.sum->nll.add(term.loss);
    else
      ++args.sum->nll.non_finite;
    if (weight.empty()) continue;
    // h falls by beta for each nat that the chosen response's cross-entropy grows.
    const auto chosen = static_cast<float>(-beta * term.slope);
    for (const size_t which : {0u, 1u}) {
      const auto tokens = part(weight, which);
      std::fill(tokens.begin(), tokens.end(), which == 0 ? chosen : -chosen);
    }
  }
}

}  // namespace

PreferenceTerm preference_term(const PreferenceSpec& spec, double h) {
  const double smoothing = static_cast<double>(spec.smoothing);
  return {.loss = (1 - smoothing) * softplus(-h) + smoothing * softplus(h),
          .slope = -(1 - smoothing) * sigmoid(-h) + smoothing * sigmoid(h)};
}

void preference_loss(Stream& stream, const PreferenceLoss& args) {
  if (stream.device().kind == DeviceKind::meta) return;  // nothing beside what it is given
  check(stream.device().kind == DeviceKind::cpu, "[preference_loss] on {}", to_string(stream.device()));
  check(args.sum != nullptr && args.begin.size() / 3 == args.reference.size() / 2,
        "[preference_loss] {} of {} pairs", args.begin.size() / 3, args.reference.size() / 2);
  cpu_stream(stream).enqueue([args] { run(args); });
}

}  // namespace strata
