// SPDX-License-Identifier: Apache-2.0
// strata init RECIPE: writes a configuration to begin with. Never writes over a file.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "launch/commands/command.h"
#include "launch/recipes/recipe.h"

namespace strata {
namespace {

struct InitArguments {
  std::string recipe;
  std::string output;
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

void write_new_file(const std::string& path, std::string_view text) {
  const auto failed = [&](Fault fault, std::string found, std::string fix) {
    throw Error(fault, {.what = "the configuration was not written",
                        .where = path,
                        .found = std::move(found),
                        .expected = "a new file",
                        .fix = std::move(fix)});
  };
  std::FILE* file = std::fopen(path.c_str(), "wx");
  if (!file && errno == EEXIST)
    failed(Fault::usage, "a file of that name", "choose another name with -o, or remove the file");
  if (!file) failed(Fault::environment, std::strerror(errno), "choose another place with -o");
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !written) {
    const std::string why = std::strerror(errno);
    std::remove(path.c_str());
    failed(Fault::environment, why, "free space, or choose another place with -o");
  }
}

int init(const InitArguments& arguments) {
  const Recipe& recipe = find_recipe(arguments.recipe);
  if (arguments.output == "-") {
    fmt::print("{}", recipe.toml);
    return 0;
  }
  const std::string path = arguments.output.empty() ? fmt::format("{}.toml", recipe.name) : arguments.output;
  write_new_file(path, recipe.toml);
  fmt::print("wrote {}: {}\n", path, recipe.help);
  return 0;
}

}  // namespace

Run add_init(CLI::App& app) {
  const auto arguments = std::make_shared<InitArguments>();
  app.add_option("RECIPE", arguments->recipe, "name of a recipe")->required();
  app.add_option("-o,--output", arguments->output,
                 "file to write, '-' for standard output; default RECIPE.toml");
  std::string footer = "Recipes:\n";
  for (const Recipe& recipe : recipes()) footer += fmt::format("  {:<12} {}\n", recipe.name, recipe.help);
  app.footer(footer + "\nExample:\n  strata init tiny -o mine.toml");
  return [arguments] { return init(*arguments); };
}

}  // namespace strata
