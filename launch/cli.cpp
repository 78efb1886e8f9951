// SPDX-License-Identifier: Apache-2.0
#include "launch/cli.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "launch/commands/command.h"

namespace strata {
namespace {

// The words that lead to a command: "strata config".
std::string invocation(const CLI::App* app) {
  std::string text = app->get_name();
  for (app = app->get_parent(); app; app = app->get_parent()) text = app->get_name() + " " + text;
  return text;
}

std::vector<const CLI::App*> subcommands(const CLI::App* app) {
  return app->get_subcommands([](const CLI::App*) { return true; });
}

[[noreturn]] void unknown_command(const CLI::App* parent, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* sub : subcommands(parent)) names.push_back(sub->get_name());
  const std::string near = nearest(word, names);
  throw Error(Fault::usage,
              {.what = fmt::format("'{}' is not a command of '{}'", word, invocation(parent)),
               .where = "command line",
               .found = word,
               .expected = fmt::format("one of: {}", fmt::join(names, ", ")),
               .fix = near.empty() ? fmt::format("see '{} --help'", invocation(parent))
                                   : fmt::format("did you mean '{} {}'?", invocation(parent), near)});
}

// The command that the first words name. A word in the place of a command that is none is an Error.
const CLI::App* find_command(const CLI::App& root, const std::vector<std::string>& arguments) {
  const CLI::App* app = &root;
  for (const std::string& word : arguments) {
    const std::vector<const CLI::App*> choices = subcommands(app);
    if (word.starts_with('-') || choices.empty()) break;
    const auto named = std::ranges::find(choices, word, &CLI::App::get_name);
    if (named == choices.end()) unknown_command(app, word);
    app = *named;
  }
  return app;
}

// CLI11 says of a value that is none of an option's choices "--to: hff not in {strata,hf}": the choice that
// was meant, or nothing.
std::string meant_choice(std::string_view complaint) {
  const size_t colon = complaint.find(": "), middle = complaint.find(" not in {"), end = complaint.rfind('}');
  if (colon == complaint.npos || middle == complaint.npos || end == complaint.npos || middle < colon)
    return "";
  std::vector<std::string> choices(1);
  for (const char c : complaint.substr(middle + 9, end - middle - 9))
    if (c == ',')
      choices.emplace_back();
    else
      choices.back() += c;
  const std::string near = nearest(complaint.substr(colon + 2, middle - colon - 2), choices);
  if (near.empty() || !complaint.starts_with("--")) return near;  // of a word without an option before it
  return fmt::format("{} {}", complaint.substr(0, colon), near);
}

// CLI11's complaint with what it lacks: the option that was meant, and where to read on.
[[noreturn]] void bad_usage(const CLI::App* command, const CLI::ParseError& error,
                            const std::vector<std::string>& arguments) {
  std::vector<std::string> options;
  for (const CLI::Option* option : command->get_options())
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  std::string fix = fmt::format("see '{} --help'", invocation(command));
  for (const std::string& word : arguments) {
    const std::string option = word.substr(0, word.find('='));
    if (!option.starts_with("--") || std::ranges::count(options, option) != 0) continue;
    const std::string near = nearest(option, options);
    if (option.find('.') != std::string::npos)
      fix = fmt::format("configuration keys are written without dashes: {}", word.substr(2));
    else if (!near.empty())
      fix = fmt::format("did you mean {}?", near);
    break;
  }
  if (const std::string meant = meant_choice(error.what()); !meant.empty())
    fix = fmt::format("did you mean {}?", meant);
  std::string what = error.what();
  std::ranges::replace(what, '\n', ' ');
  throw Error(Fault::usage,
              {.what = what,
               .where = "command line",
               .found = fmt::format("strata{}{}", arguments.empty() ? "" : " ", fmt::join(arguments, " ")),
               .expected = fmt::format("the options of '{}'", invocation(command)),
               .fix = fix});
}

}  // namespace

int run_command_line(std::vector<std::string> arguments) {
  CLI::App root("Strata trains large language models.", "strata");
  root.set_version_flag("--version", version_line());
  root.require_subcommand(1);
  root.footer(
      "Examples:\n"
      "  strata init tiny                     write a commented configuration, tiny.toml\n"
      "  strata config check tiny.toml        find every mistake in it\n"
      "  strata config show tiny.toml optimizer.lr=1e-3\n"
      "'strata COMMAND --help' says more about one command.");
  std::vector<std::pair<CLI::App*, Run>> runs;
  for (const Command& command : commands()) {
    CLI::App* app = root.add_subcommand(std::string(command.name), std::string(command.help));
    runs.emplace_back(app, command.add(*app));
  }

  const CLI::App* command = find_command(root, arguments);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes them
    root.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", command->help(command == &root ? "" : invocation(command->get_parent())));
    return 0;
  } catch (const CLI::CallForVersion& version) {
    fmt::print("{}\n", version.what());
    return 0;
  } catch (const CLI::ParseError& error) {
    bad_usage(command, error, arguments);
  }
  for (const auto& [app, run] : runs)
    if (app->parsed()) return run();
  return 0;
}

}  // namespace strata
