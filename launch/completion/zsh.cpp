// SPDX-License-Identifier: Apache-2.0
// For zsh's own completion (compsys).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/completion/words.h"

namespace strata {

std::string zsh_completion(const CompletionWords& words) {
  std::string paths, of_command, of_option, of_key;
  for (const CompletionWords::Command& command : words.commands) {
    if (&command != &words.commands.front())
      paths += fmt::format("{}\"{}\"", paths.empty() ? "" : "|", command.path);
    of_command += fmt::format("    \"{}\") options=({}); subcommands=({}); takes_keys={} ;;\n", command.path,
                              fmt::join(command.options, " "), fmt::join(command.subcommands, " "),
                              command.takes_keys ? 1 : 0);
  }
  for (const CompletionWords::Choice& choice : words.option_choices)
    of_option +=
        fmt::format("    \"{}\") compadd -- {}; return ;;\n", choice.of, fmt::join(choice.values, " "));
  for (const CompletionWords::Choice& choice : words.key_choices)
    of_key += fmt::format("      {}) compadd -- {} ;;\n", choice.of, fmt::join(choice.values, " "));
  return fmt::format(
      R"(#compdef strata
# Completion of strata for zsh, made by `strata completion zsh`:
#   strata completion zsh > "${{fpath[1]}}/_strata"
_strata() {{
  local path_=strata takes_keys=0 i
  local -a options subcommands
  for ((i = 2; i < CURRENT; ++i)); do
    case "$path_ ${{words[i]}}" in
      {0}) path_="$path_ ${{words[i]}}" ;;
      *) break ;;
    esac
  done
  case "$path_" in
{1}  esac
  case "$path_ ${{words[CURRENT - 1]}}" in
{2}  esac
  if [[ $PREFIX == -* ]]; then
    compadd -- $options
  elif (( $#subcommands )); then
    compadd -- $subcommands
  elif (( takes_keys )) && [[ $PREFIX == *.*=* ]]; then
    local key=${{PREFIX%%=*}}
    compset -P '*='
    case "$key" in
{3}    esac
  else
    _files
    (( takes_keys )) && [[ -n $PREFIX ]] && compadd -S = -- {4}
  fi
}}
(( $+functions[compdef] )) && compdef _strata strata
[[ ${{funcstack[1]}} == _strata ]] && _strata "$@"
)",
      paths, of_command, of_option, of_key, fmt::join(words.keys, " "));
}

}  // namespace strata
