// SPDX-License-Identifier: Apache-2.0
// strata plan CONFIG [--dump]: what a step of a run will do, need and take, without running it.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/data/tokenizer.h"
#include "core/program/simulate.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/metrics/humanize.h"
#include "launch/train/build.h"
#include "launch/train/place.h"

namespace strata {
namespace {

int print_plan(const LoadedConfig& loaded, bool dump) {
  const auto tokenizer = make_tokenizer(loaded.config.data.tokenizer);
  const auto world = make_solo_world();
  const int64_t vocab = loaded.config.model.vocab ? loaded.config.model.vocab : tokenizer->vocab_size();
  const RankPlace place(*world, place_options(loaded.config, 1, vocab), loaded.config.model.tied);
  const Model model = build_model(loaded.config, tokenizer->vocab_size(), place.split());
  const auto rule = build_update_rule(loaded.config);
  const StepPlan plan(model, plan_options(loaded.config, *rule, place, model));
  if (dump) {
    fmt::print("{}", to_string(plan.train().program));
    return 0;
  }
  const Timeline timeline = simulate(plan.train(), plan.costs(), 2);
  fmt::print("model      {} parameters\n", model.num_parameters());
  fmt::print("step       {} actions on {} buffers, verified\n", plan.train().program.list.size(),
             plan.train().buffers.size());
  fmt::print("work       {:.2f} GFLOP\n", static_cast<double>(plan.costs().model_flops()) * 1e-9);
  fmt::print("time       about {} at assumed rates\n\n", human_duration(timeline.step_seconds));
  fmt::print("{}", to_string(plan.train().memory));
  return 0;
}

}  // namespace

Run add_plan(CLI::App& app) {
  const auto arguments = add_config_arguments(app, "strata plan tiny.toml --dump");
  const auto dump = std::make_shared<bool>(false);
  app.add_flag("--dump", *dump, "print the program, action by action");
  return [=] { return print_plan(arguments->load(), *dump); };
}

}  // namespace strata
