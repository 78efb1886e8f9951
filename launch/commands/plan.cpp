// SPDX-License-Identifier: Apache-2.0
// strata plan CONFIG [key=value] [--ranks N] [--dump[=FILE]] [--json] [--fit SLOTS]: what a step of a run
// will do, need and take on any number of ranks, without running it.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/tokenizer.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/commands/plan_figures.h"
#include "launch/train/place.h"

namespace strata {
namespace {

struct PlanArguments {
  int ranks = 0;
  std::string dump;  // "-": standard output; empty: no
  bool json = false;
  int slots = 0;  // 0: a plan, not a fit
};

void write_programs(const std::vector<Program>& programs, const std::string& file) {
  const std::string text = to_string(std::span(programs));
  if (file == "-") return fmt::print("{}", text);
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  stream.close();
  if (!stream)
    throw Error(Fault::environment, {.what = "the programs cannot be written",
                                     .where = file,
                                     .fix = "name a file in a folder that exists and can be written"});
}

// One line for scripts: the number of ranks, then the sizes as they are written on a command line.
int print_fit(const Config& config, int slots) {
  const int64_t vocab =
      config.model.vocab ? config.model.vocab : make_tokenizer(config.data.tokenizer)->vocab_size();
  const FittedJob job = fit_layout(config, slots, vocab);
  const ParallelConfig& p = job.parallel;
  fmt::print("{} parallel.pp={} parallel.dp={} parallel.cp={} parallel.tp={} parallel.virtual_stages={}\n",
             job.ranks, p.pp, p.dp, p.cp, p.tp, p.virtual_stages);
  return 0;
}

int print_plan(const LoadedConfig& loaded, const PlanArguments& arguments) {
  if (arguments.slots > 0) return print_fit(loaded.config, arguments.slots);
  const PlanFigures figures = plan_figures(loaded.config, arguments.ranks);
  if (!arguments.dump.empty()) write_programs(figures.programs, arguments.dump);
  if (arguments.dump == "-") return 0;
  fmt::print("{}", arguments.json ? to_json(figures).dump(2) + "\n" : to_string(figures));
  return 0;
}

}  // namespace

Run add_plan(CLI::App& app) {
  const auto config =
      add_config_arguments(app, "strata plan tiny.toml --ranks=8 parallel.pp=2 parallel.tp=2");
  const auto arguments = std::make_shared<PlanArguments>();
  app.add_option("--ranks", arguments->ranks, "of the job; default: as few as the sizes in [parallel] take")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--dump{-}", arguments->dump,
               "print the program of every pipeline rank, action by action, or write them to --dump=FILE");
  app.add_option(
         "--fit", arguments->slots,
         "print only the legal layout nearest to the configuration's on as many ranks as possible, at "
         "most this many, as a line for scripts")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--json", arguments->json, "print the figures as JSON");
  return [=] { return print_plan(config->load(), *arguments); };
}

}  // namespace strata
