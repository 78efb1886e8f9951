// SPDX-License-Identifier: Apache-2.0
#include "parallel/schedules/schedule.h"

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/error.h"

namespace strata {

std::string to_string(const ScheduleShape& shape) {
  std::string text = fmt::format("{} ranks, {} micro-batches", shape.ranks, shape.micro_batches);
  if (shape.virtual_stages != 1) text += fmt::format(", {} virtual stages per rank", shape.virtual_stages);
  return text;
}

std::vector<int> round_robin(const ScheduleShape& shape) {
  std::vector<int> stage_rank;
  for (int stage = 0; stage < shape.stages(); ++stage) stage_rank.push_back(stage % shape.ranks);
  return stage_rank;
}

namespace {

// The largest number of virtual stages up to `v`, and the smallest from it on, with which they divide the
// layers.
std::string nearest_virtual_stages(int layers, const ScheduleShape& shape) {
  std::string text;
  for (int v = shape.virtual_stages - 1; v >= 1 && text.empty(); --v)
    if (layers % (shape.ranks * v) == 0) text = fmt::format("{}", v);
  for (int v = shape.virtual_stages + 1; shape.ranks * v <= layers; ++v)
    if (layers % (shape.ranks * v) == 0) return text + fmt::format("{}{}", text.empty() ? "" : " or ", v);
  return text;
}

}  // namespace

std::vector<Stage> even_stages(int layers, const ScheduleShape& shape) {
  check(layers >= 1 && shape.ranks >= 1 && shape.virtual_stages >= 1, "[even_stages] {} layers, {}", layers,
        to_string(shape));
  const int stages = shape.stages();
  if (layers % stages != 0) {
    const std::string nearest = nearest_virtual_stages(layers, shape);
    throw Error(
        Fault::usage,
        {.what = "the layers do not divide evenly among the pipeline's stages",
         .where = shape.virtual_stages == 1 ? "parallel.pp" : "parallel.virtual_stages",
         .found = fmt::format("layers {} / (pp {} x virtual_stages {} = {}) = {} remainder {}", layers,
                              shape.ranks, shape.virtual_stages, stages, layers / stages, layers % stages),
         .expected = "layers = pp x virtual_stages x whole number",
         .fix = nearest.empty() ? fmt::format("a pp that divides {}", layers)
                                : fmt::format("parallel.virtual_stages = {}", nearest)});
  }
  const int each = layers / stages;
  std::vector<Stage> all;
  for (int stage = 0; stage < stages; ++stage) all.push_back({1 + stage * each, 1 + (stage + 1) * each});
  all.front().begin = 0;
  all.back().end += 1;
  return all;
}

}  // namespace strata
