// SPDX-License-Identifier: Apache-2.0
#include "launch/train/announce.h"

#include <fmt/core.h>

#include <cstdio>

#include "launch/config/print.h"
#include "launch/metrics/humanize.h"
#include "launch/train/precision.h"

namespace strata {

void announce(const RunFacts& f) {
  const Config& config = f.loaded.config;
  fmt::print("\n{}", effective_toml(f.loaded));
  fmt::print("\nmodel      {} parameters, {} layers, vocabulary {}\n", f.model.num_parameters(),
             f.model.spec.layers, f.model.spec.vocab);
  if (f.model.num_trained() < f.model.num_parameters())
    fmt::print(
        "           {} of them trained, {:.2f} %; the others own nothing but their weight\n",
        f.model.num_trained(),
        100.0 * static_cast<double>(f.model.num_trained()) / static_cast<double>(f.model.num_parameters()));
  if (!config.model.from.empty()) fmt::print("           begun with {}\n", config.model.from);
  for (const std::string& line : followed(config, f.model)) fmt::print("recipe     {}\n", line);
  fmt::print("data       {} tokens to train on, {} to validate\n", f.data.train_places(),
             f.data.valid_places());
  for (const std::string& note : f.data.notes) fmt::print("           {}\n", note);
  fmt::print("step       {} tokens = {} micro-batches of {} x {}, {} actions, {:.2f} GFLOP\n",
             config.batch.tokens_per_step, f.place.samples_per_step(), f.plan.geometry().rows,
             config.data.seq_len, f.plan.train().program.list.size(), f.step_flops * 1e-9);
  if (f.ranks > 1)
    fmt::print("ranks      {} = {}, partition {}{}\n", f.ranks,
               to_string(f.place.options().mesh, narrow<int>(config.parallel.virtual_stages)),
               config.parallel.partition, f.device.is_gpu() ? ", GPU tensors by " + f.communication : "");
  fmt::print("machine    {}{}, {:.0f} GFLOP/s of {} products\n", f.device.describe(),
             f.ranks > 1 ? " a rank" : "", f.peak_flops * 1e-9, name(f.model.compute));
  fmt::print("\n{}\n", to_string(f.plan.train().memory));
  std::fflush(stdout);
}

RunSummary summary_of(const RunFacts& f) {
  return {.name = f.loaded.config.run.name,
          .model = fmt::format("{}, {} layers, hidden {}, {}", f.model.spec.arch, f.model.spec.layers,
                               f.model.spec.hidden, name(f.model.compute)),
          .parameters = f.model.num_parameters(),
          .machine = f.device.describe(),
          .facts = {{"optimizer", f.rule.name()},
                    {"tokens per step", std::to_string(f.loaded.config.batch.tokens_per_step)},
                    {"planned memory", human_bytes(f.plan.arena_bytes())}},
          .config_text = effective_toml(f.loaded)};
}

}  // namespace strata
