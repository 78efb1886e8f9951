// SPDX-License-Identifier: Apache-2.0
#include "parallel/memory_formulas.h"

#include "core/base/check.h"

namespace strata {

double state_bytes(double parameters, const PartitionWays& partition, const ParameterBytes& bytes) {
  const auto& [alpha, beta, n] = partition;
  check(alpha >= 1 && beta >= 1 && n >= 1, "[state_bytes] partition ({}, {}, {})", alpha, beta, n);
  return bytes.weight * parameters / static_cast<double>(alpha) +
         bytes.gradient * parameters / static_cast<double>(beta) +
         bytes.optimizer * parameters / static_cast<double>(n);
}

double layer_activation_bytes(const ActivationShape& shape, const ActivationSplit& split) {
  const auto s = static_cast<double>(shape.seq), b = static_cast<double>(shape.micro_batch);
  const auto h = static_cast<double>(shape.hidden), a = static_cast<double>(shape.heads);
  const auto t = static_cast<double>(split.tp);
  check(split.tp >= 1, "[layer_activation_bytes] tp {}", split.tp);
  if (split.recompute == ActivationRecompute::full) return s * b * 2 * h;
  // Bytes per token: what tensor parallelism splits, what only sequence parallelism does, and attention's
  // scores.
  const double scores = split.recompute == ActivationRecompute::selective ? 0 : 5 * a * s;
  return s * b * ((24 * h + scores) / t + 10 * h / (split.sequence_parallel ? t : 1));
}

double first_stage_activation_bytes(const ActivationShape& shape, const ActivationSplit& split,
                                    int64_t layers, int64_t pp, int64_t virtual_stages) {
  check(layers >= 1 && pp >= 1 && virtual_stages >= 1,
        "[first_stage_activation_bytes] {} layers, pp {}, v {}", layers, pp, virtual_stages);
  const double all = layer_activation_bytes(shape, split) * static_cast<double>(layers);
  if (virtual_stages == 1) return all;
  return all + all * static_cast<double>(pp - 1) / static_cast<double>(pp * virtual_stages);
}

}  // namespace strata
