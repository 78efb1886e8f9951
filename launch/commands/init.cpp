// SPDX-License-Identifier: Apache-2.0
// strata init RECIPE, or --from MODEL: writes a configuration to begin with. Never writes over a file.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "launch/commands/command.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/recipes/finetune.h"
#include "launch/recipes/recipe.h"
#include "launch/train/run_state.h"
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

// The model's tokenizer lies beside its weights, if at all.
std::string tokenizer_beside(const std::string& model) {
  namespace fs = std::filesystem;
  if (fs::exists(model + "/tokenizer.json")) return model;
  if (fs::exists(model + "/tokenizer.model")) return model + "/tokenizer.model";
  return "byte";
}

// A file that holds its tokenizer inside (GGUF): it is written to a folder beside the configuration, which is
// told. A folder that is there already stays as it is.
std::string tokenizer_of(const OpenedCheckpoint& opened, const InitArguments& arguments) {
  namespace fs = std::filesystem;
  if (fs::is_directory(arguments.model)) return tokenizer_beside(arguments.model);
  const std::vector<Asset> assets = opened.source().assets();
  const auto has = [](const Asset& asset) { return asset.name == "tokenizer.json"; };
  if (std::none_of(assets.begin(), assets.end(), has)) return "byte";
  const fs::path beside = arguments.output == "-" ? fs::path() : fs::path(arguments.output).parent_path();
  const fs::path folder = beside / (fs::path(arguments.model).stem().string() + "-tokenizer");
  if (fs::exists(folder)) return folder.string();
  std::error_code failed;
  fs::create_directory(folder, failed);
  if (failed)
    throw Error(Fault::environment, {.what = "the model's tokenizer was not written",
                                     .where = folder.string(),
                                     .found = failed.message(),
                                     .fix = "choose another place with -o"});
  for (const Asset& asset : assets)
    if (asset.name.starts_with("tokenizer"))
      write_new_file((folder / asset.name).string(), asset.content, "the model's tokenizer");
  return folder.string();
}

int init_from_model(const InitArguments& arguments) {
  const auto files = make_posix_file_system();
  const bool foreign = is_foreign(*files, arguments.model);
  const OpenedCheckpoint opened =
      open_checkpoint(*files, foreign ? arguments.model : find_checkpoint(*files, arguments.model));
  const std::optional<HfModel> model = model_of(opened);
  if (!model)
    throw Error(Fault::model, {.what = "this model's sizes are not known",
                               .where = arguments.model,
                               .found = opened.stored->format(),
                               .expected = "a config.json beside the weights, or a checkpoint of Strata",
                               .fix = "see what it holds with `strata inspect " + arguments.model + "`"});
  const std::string text = finetune_toml(model->spec, {.model = arguments.model,
                                                       .tokenizer = tokenizer_of(opened, arguments),
                                                       .data = arguments.data,
                                                       .lora = arguments.lora});
  if (arguments.output == "-") {
    fmt::print("{}", text);
    return 0;
  }
  const std::string path = arguments.output.empty() ? "tuned.toml" : arguments.output;
  write_new_file(path, text, "the configuration");
  fmt::print("wrote {}: {} {}, a {} of {} layers\n", path,
             arguments.lora ? "trains adapters beside" : "goes on training", arguments.model, model->family,
             model->spec.layers);
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
