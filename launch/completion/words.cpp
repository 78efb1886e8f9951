// SPDX-License-Identifier: Apache-2.0
#include "launch/completion/words.h"

#include <CLI/CLI.hpp>

#include "launch/config/key_table.h"

namespace strata {
namespace {

// Of "TEXT:{auto,plain}", as CLI11 describes an option that takes one of several words; else none.
std::vector<std::string> choices_in(const std::string& type) {
  const size_t begin = type.find('{'), end = type.rfind('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  std::vector<std::string> choices(1);
  for (const char c : type.substr(begin + 1, end - begin - 1))
    if (c == ',')
      choices.emplace_back();
    else
      choices.back() += c;
  return choices;
}

void add(const CLI::App& app, const std::string& path, CompletionWords& words) {
  CompletionWords::Command command{.path = path,
                                   .takes_keys = app.get_option_no_throw("key=value") != nullptr};
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* sub : subcommands) command.subcommands.push_back(sub->get_name());
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) {
      command.options.push_back("--" + name);
      if (std::vector<std::string> choices = choices_in(option->get_type_name()); !choices.empty())
        words.option_choices.push_back({path + " --" + name, std::move(choices)});
    }
  for (const CLI::Option* option : app.get_options())
    if (option->get_lnames().empty() && option->get_snames().empty())
      if (std::vector<std::string> choices = choices_in(option->get_type_name()); !choices.empty())
        words.option_choices.push_back({path + " " + app.get_name(), std::move(choices)});
  words.commands.push_back(std::move(command));
  for (const CLI::App* sub : subcommands) add(*sub, path + " " + sub->get_name(), words);
}

}  // namespace

CompletionWords completion_words(const CLI::App& root) {
  CompletionWords words;
  add(root, root.get_name(), words);
  for (const Key& key : key_table().keys()) {
    words.keys.push_back(key.path);
    if (key.kind == KeyKind::choice)
      words.key_choices.push_back({key.path, {key.traits.choices.begin(), key.traits.choices.end()}});
    else if (key.kind == KeyKind::boolean)
      words.key_choices.push_back({key.path, {"true", "false"}});
  }
  return words;
}

}  // namespace strata
