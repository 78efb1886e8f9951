// SPDX-License-Identifier: Apache-2.0
// For fish 3 and later.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/completion/words.h"

namespace strata {
namespace {

// fish's condition that the words so far are those of a command and none of its subcommands.
std::string at(const CompletionWords::Command& command) {
  const size_t blank = command.path.find(' ');
  if (blank == std::string::npos) return "'__fish_use_subcommand'";
  std::string condition;
  std::string rest = command.path.substr(blank + 1);
  for (size_t begin = 0; begin < rest.size();) {
    const size_t end = std::min(rest.find(' ', begin), rest.size());
    condition += fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ",
                             rest.substr(begin, end - begin));
    begin = end + 1;
  }
  if (!command.subcommands.empty())
    condition += fmt::format("; and not __fish_seen_subcommand_from {}", fmt::join(command.subcommands, " "));
  return "'" + condition + "'";
}

}  // namespace

std::string fish_completion(const CompletionWords& words) {
  std::string text =
      "# Completion of strata for fish, made by `strata completion fish`:\n"
      "#   strata completion fish > ~/.config/fish/completions/strata.fish\n";
  for (const CompletionWords::Command& command : words.commands) {
    const std::string condition = at(command);
    if (!command.subcommands.empty())
      text += fmt::format("complete -c strata -f -n {} -a '{}'\n", condition,
                          fmt::join(command.subcommands, " "));
    for (const std::string& option : command.options) {
      text += fmt::format("complete -c strata -n {} -l {}", condition, option.substr(2));
      for (const CompletionWords::Choice& choice : words.option_choices)
        if (choice.of == command.path + " " + option)
          text += fmt::format(" -x -a '{}'", fmt::join(choice.values, " "));
      text += "\n";
    }
    for (const CompletionWords::Choice& choice : words.option_choices)
      if (choice.of == command.path + " " + command.path.substr(command.path.rfind(' ') + 1))
        text +=
            fmt::format("complete -c strata -f -n {} -a '{}'\n", condition, fmt::join(choice.values, " "));
    if (!command.takes_keys) continue;
    text += fmt::format("complete -c strata -n {} -a '{}='\n", condition, fmt::join(words.keys, "= "));
    for (const CompletionWords::Choice& choice : words.key_choices)
      text += fmt::format("complete -c strata -n {} -a '{}={}'\n", condition, choice.of,
                          fmt::join(choice.values, " " + choice.of + "="));
  }
  return text;
}

}  // namespace strata
