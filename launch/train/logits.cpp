// SPDX-License-Identifier: Apache-2.0
#include "launch/train/logits.h"

#include <algorithm>
#include <cmath>

#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/step/text_model.h"
#include "optim/optimizer_table.h"

namespace strata {

std::vector<float> model_logits(ModelSpec spec, const FillWeights& fill, std::span<const int32_t> ids) {
  const auto length = static_cast<int64_t>(ids.size());
  // Keys and values are kept for as many positions; a learned table of them must stay as it is.
  if (spec.arch == "llama") spec.max_positions = length;
  Model model = make_model(spec, DType::f32);
  if (spec.lora.rank > 0) model.freeze_base();  // what is trained comes with the adapters
  const auto rule = make_update_rule("adamw", "fp32", DType::f32, {});
  WorkerPool pool(0);
  CpuStream stream(pool);
  const auto memory = make_cpu_allocator();
  const StepPlan plan(model, {.geometry = {.rows = 1, .seq_len = length, .micro_batches = 1}});
  StepRunner runner(plan, {.compute = stream}, *memory);
  const auto alone = make_solo_peers();
  fill(runner, *rule, {.peers = *alone, .stream = stream, .pool = pool});
  TextModel text(model, runner, stream, *memory);
  std::vector<float> logits;
  for (const int32_t& id : ids) {
    const std::span<const float> row = text.feed({&id, 1});
    logits.insert(logits.end(), row.begin(), row.end());
  }
  return logits;
}

LogitsDistance logits_distance(std::span<const float> a, std::span<const float> b, int64_t vocab) {
  check(a.size() == b.size() && std::ssize(a) % vocab == 0, "[logits] {} and {} of {}", a.size(), b.size(),
        vocab);
  LogitsDistance distance{.tokens = std::ssize(a) / vocab};
  for (size_t i = 0; i < a.size(); ++i) {
    const double far = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(far <= distance.largest)) distance.largest = far;  // a NaN stays
    distance.magnitude = std::max(distance.magnitude, std::abs(static_cast<double>(b[i])));
  }
  const auto likeliest = [&](std::span<const float> logits, int64_t token) {
    const auto row = logits.subspan(static_cast<size_t>(token * vocab), static_cast<size_t>(vocab));
    return std::max_element(row.begin(), row.end()) - row.begin();
  };
  for (int64_t t = 0; t < distance.tokens; ++t)
    distance.same_choices += likeliest(a, t) == likeliest(b, t) ? 1 : 0;
  return distance;
}

}  // namespace strata
