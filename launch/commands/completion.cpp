// SPDX-License-Identifier: Apache-2.0
// strata completion bash|zsh|fish
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "launch/commands/command.h"
#include "launch/completion/words.h"

namespace strata {

Run add_completion(CLI::App& app) {
  const auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app.footer(
      "Examples:\n"
      "  strata completion bash > ~/.local/share/bash-completion/completions/strata\n"
      "  strata completion zsh > \"${fpath[1]}/_strata\"\n"
      "  strata completion fish > ~/.config/fish/completions/strata.fish\n"
      "  eval \"$(strata completion bash)\"     in this shell alone");
  return [shell, &app] {
    const CompletionWords words = completion_words(*app.get_parent());
    const auto script = *shell == "bash"  ? bash_completion
                        : *shell == "zsh" ? zsh_completion
                                          : fish_completion;
    fmt::print("{}", script(words));
    return 0;
  };
}

}  // namespace strata
