// SPDX-License-Identifier: Apache-2.0
// strata init RECIPE, or --from MODEL: writes a configuration to begin with. Never writes over a file.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "launch/commands/command.h"
#include "launch/recipes/finetune.h"
#include "launch/recipes/recipe.h"
#include "launch/recipes/start_model.h"
#include "launch/write_new_file.h"

namespace strata {
namespace {

struct InitArguments {
  std::string recipe;
  std::string model, data = "data.txt";
  std::string output;
  bool lora = false;
};

const Recipe& find_recipe(const std::string& name) {
  std::vector<std::string> names;
  for (const Recipe& recipe : recipes()) {
    if (recipe.name == name) return recipe;
    names.emplace_back(recipe.name);
  }
  const std::string near = nearest(name, names);
  throw Error(Fault::usage, {.what = fmt::format("there is no recipe '{}'", name),
                             .where = "command line",
                             .found = name,
                             .expected = fmt::format("one of: {}", fmt::join(names, ", ")),
                             .fix = "strata init " + (near.empty() ? names.front() : near)});
}

int init_from_model(const InitArguments& arguments) {
  const auto files = make_posix_file_system();
  const std::string beside =
      arguments.output == "-" ? "" : std::filesystem::path(arguments.output).parent_path().string();
  const StartModel start = open_start_model(*files, arguments.model, beside);
  const HfModel& model = start.model;
  const std::string text = finetune_toml(model.spec, {.model = arguments.model,
                                                      .tokenizer = start.tokenizer,
                                                      .data = arguments.data,
                                                      .lora = arguments.lora});
  if (arguments.output == "-") {
    fmt::print("{}", text);
    return 0;
  }
  const std::string path = arguments.output.empty() ? "tuned.toml" : arguments.output;
  write_new_file(path, text, "the configuration");
  fmt::print("wrote {}: {} {}, a {} of {} layers\n", path,
             arguments.lora ? "trains adapters beside" : "goes on training", arguments.model, model.family,
             model.spec.layers);
  return 0;
}

int init(const InitArguments& arguments) {
  if (arguments.recipe.empty() == arguments.model.empty())
    throw Error(Fault::usage, {.what = "what to begin with is not clear",
                               .where = "command line",
                               .found = arguments.recipe.empty() ? "nothing" : "a recipe and a model",
                               .expected = "the name of a recipe, or --from MODEL",
                               .fix = "strata init tiny"});
  if (!arguments.model.empty()) return init_from_model(arguments);
  if (arguments.lora)
    throw Error(Fault::usage, {.what = "adapters are trained beside a model",
                               .where = "command line",
                               .found = "--lora and no model",
                               .fix = "strata init --from MODEL --lora"});
  const Recipe& recipe = find_recipe(arguments.recipe);
  if (arguments.output == "-") {
    fmt::print("{}", recipe.toml);
    return 0;
  }
  const std::string path = arguments.output.empty() ? fmt::format("{}.toml", recipe.name) : arguments.output;
  write_new_file(path, recipe.toml, "the configuration");
  fmt::print("wrote {}: {}\n", path, recipe.help);
  return 0;
}

}  // namespace

Run add_init(CLI::App& app) {
  const auto arguments = std::make_shared<InitArguments>();
  app.add_option("RECIPE", arguments->recipe, "name of a recipe");
  app.add_option(
      "--from", arguments->model,
      "in place of a recipe: a model to go on with, a Hugging Face folder, a GGUF file or a checkpoint");
  app.add_option("--data", arguments->data, "with --from: the file to train on")->capture_default_str();
  app.add_flag("--lora", arguments->lora,
               "with --from: train small adapters beside the model, which stays as it is");
  app.add_option("-o,--output", arguments->output,
                 "file to write, '-' for standard output; default RECIPE.toml, or tuned.toml");
  std::string footer = "Recipes:\n";
  for (const Recipe& recipe : recipes()) footer += fmt::format("  {:<12} {}\n", recipe.name, recipe.help);
  app.footer(
      footer +
      "\nExample:\n  strata init tiny -o mine.toml\n  strata init --from SmolLM2-135M --data notes.txt\n"
      "  strata init --from SmolLM2-135M --data chat.jsonl --lora");
  return [arguments] { return init(*arguments); };
}

}  // namespace strata
