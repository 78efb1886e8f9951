// SPDX-License-Identifier: Apache-2.0
// What a shell can complete on a command line of strata, read from the commands themselves and from the table
// of keys; and the scripts that do it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace strata {

struct CompletionWords {
  // A command or subcommand, by the words that lead to it: "strata config show". The first is "strata".
  struct Command {
    std::string path;
    std::vector<std::string> subcommands, options;
    bool takes_keys = false;  // section.key=value may follow
  };
  struct Choice {
    // "strata convert --to"; "strata completion completion" for the first word behind a command;
    // "optimizer.type".
    std::string of;
    std::vector<std::string> values;
  };
  std::vector<Command> commands;
  std::vector<Choice> option_choices;
  std::vector<std::string> keys;  // "optimizer.lr"
  std::vector<Choice> key_choices;
};

CompletionWords completion_words(const CLI::App& root);

// A script for the shell's start-up file. Where nothing else is known, names of files are completed.
std::string bash_completion(const CompletionWords& words);
std::string zsh_completion(const CompletionWords& words);
std::string fish_completion(const CompletionWords& words);

}  // namespace strata
