// SPDX-License-Identifier: Apache-2.0
// For bash 4 and later; needs no bash-completion package.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/completion/words.h"

namespace strata {

std::string bash_completion(const CompletionWords& words) {
  std::string paths, of_command, of_option, of_key;
  for (const CompletionWords::Command& command : words.commands) {
    if (&command != &words.commands.front())
      paths += fmt::format("{}\"{}\"", paths.empty() ? "" : " | ", command.path);
    of_command += fmt::format("    \"{}\") options=\"{}\" subcommands=\"{}\" keys={} ;;\n", command.path,
                              fmt::join(command.options, " "), fmt::join(command.subcommands, " "),
                              command.takes_keys ? 1 : 0);
  }
  for (const CompletionWords::Choice& choice : words.option_choices)
    of_option += fmt::format("    \"{}\") given=\"{}\" ;;\n", choice.of, fmt::join(choice.values, " "));
  for (const CompletionWords::Choice& choice : words.key_choices)
    of_key += fmt::format("      {}) given=\"{}\" ;;\n", choice.of, fmt::join(choice.values, " "));
  return fmt::format(
      R"(# Completion of strata for bash, made by `strata completion bash`:
#   strata completion bash > ~/.local/share/bash-completion/completions/strata
_strata() {{
  # Words end at blanks alone here; bash also ends them at '='.
  local line=${{COMP_LINE:0:COMP_POINT}} word before path=strata options subcommands keys given="" i
  word=${{line##*[[:space:]]}}
  local -a said
  read -ra said <<< "${{line%"$word"}}"
  before=${{said[-1]}}
  for ((i = 1; i < ${{#said[@]}}; ++i)); do
    case "$path ${{said[i]}}" in
      {0}) path="$path ${{said[i]}}" ;;
      *) break ;;
    esac
  done
  case "$path" in
{1}  esac
  case "$path $before" in
{2}    *) given=- ;;
  esac
  COMPREPLY=()
  if [[ $given != - ]]; then
    COMPREPLY=($(compgen -W "$given" -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [[ -n $subcommands ]]; then
    COMPREPLY=($(compgen -W "$subcommands" -- "$word"))
  elif [[ $keys == 1 && $word == *.*=* ]]; then
    given=""
    case "${{word%%=*}}" in
{3}    esac
    COMPREPLY=($(compgen -W "$given" -- "${{word#*=}}"))
    [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${{COMPREPLY[@]/#/${{word%%=*}}=}}")
  else
    COMPREPLY=($(compgen -f -- "$word"))
    if [[ $keys == 1 && -n $word ]]; then
      local key=($(compgen -W "{4}" -S = -- "$word"))
      [[ ${{#key[@]}} -eq 0 ]] || {{ COMPREPLY+=("${{key[@]}}"); compopt -o nospace 2> /dev/null; }}
    fi
  fi
}}
complete -o filenames -F _strata strata
)",
      paths, of_command, of_option, of_key, fmt::join(words.keys, " "));
}

}  // namespace strata
