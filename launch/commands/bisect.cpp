// SPDX-License-Identifier: Apache-2.0
// strata bisect A B [--a key=value ...] [--b key=value ...]
#include "launch/bisect/bisect.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launch/commands/command.h"

namespace strata {
namespace {

struct BisectArguments {
  BisectSide a, b;
  BisectOptions options;
  double tolerance = 0;
};

}  // namespace

Run add_bisect(CLI::App& app) {
  const auto arguments = std::make_shared<BisectArguments>();
  app.add_option("A", arguments->a.file, "a configuration, or a file that log.record wrote")->required();
  app.add_option("B", arguments->b.file, "the same; left out: the configuration A");
  app.add_option("--a", arguments->a.overrides, "key=value ... that win over A's file")->take_all();
  app.add_option("--b", arguments->b.overrides, "key=value ... that win over B's file")->take_all();
  app.add_option("--steps", arguments->options.steps,
                 "that a configuration runs, from the start or from "
                 "the checkpoint that checkpoint.resume names")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::Option* const tolerance =
      app.add_option(
             "--tolerance", arguments->tolerance,
             "relative; 0: bits. Without it: 0 where sums have the same order, else 1e-5 (bf16: 2e-2)")
          ->check(CLI::Range(0.0, 1.0));
  app.footer(
      "Names the first step, action, tensor and rank where two runs differ, and by how much. Ranks run as\n"
      "threads of this process. Exit code 0: equal, 1: different.\n\n"
      "Examples:\n"
      "  strata bisect tiny.toml --b parallel.tp=2 parallel.dp=2\n"
      "  strata bisect tiny.toml --a run.mode=ordered --b run.mode=ordered parallel.dp=4 --steps 3\n"
      "  strata train tiny.toml log.record=here.jsonl   # and on another machine: there.jsonl\n"
      "  strata bisect here.jsonl there.jsonl");
  return [=] {
    if (arguments->b.file.empty()) arguments->b.file = arguments->a.file;
    if (tolerance->count() > 0) arguments->options.tolerance = arguments->tolerance;
    const Bisection result = bisect(arguments->a, arguments->b, arguments->options);
    fmt::print("{}", to_text(result));
    return result.comparison.first ? 1 : 0;
  };
}

}  // namespace strata
