// SPDX-License-Identifier: Apache-2.0
// What helps a user at the command line: examples for every command, completion in a real bash, the reference
// of keys.
#include <gmock/gmock.h>

#include <CLI/CLI.hpp>

#include "launch/commands/command.h"
#include "launch/completion/words.h"
#include "launch/config/key_table.h"
#include "tests/launch/program_run.h"

namespace strata {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

CompletionWords words_of_program() {
  CLI::App root("", "strata");
  std::vector<Run> runs;
  for (const Command& command : commands())
    runs.push_back(command.add(*root.add_subcommand(std::string(command.name), std::string(command.help))));
  return completion_words(root);
}

class HelpTest : public ProgramTest {
 protected:
  // What bash offers for a line with the cursor at its end.
  std::vector<std::string> completed(const std::string& line) {
    write("complete.sh", "eval \"$('" STRATA_PROGRAM "' completion bash)\"\nset -u\nCOMP_LINE='" + line +
                             "'\nCOMP_POINT=${#COMP_LINE}\n_strata\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n");
    const Outcome outcome = shell("bash complete.sh");
    EXPECT_EQ(outcome.err, "") << line;
    std::vector<std::string> lines;
    std::istringstream text(outcome.out);
    for (std::string word; std::getline(text, word);)
      if (!word.empty()) lines.push_back(word);
    return lines;
  }
};

TEST_F(HelpTest, EveryCommandHasAnExampleThatBeginsWithItsName) {
  const CompletionWords words = words_of_program();
  EXPECT_GT(words.commands.size(), 20u);
  for (const CompletionWords::Command& command : words.commands) {
    const Outcome help =
        run(command.path.substr(std::min(command.path.size(), std::string("strata ").size())) + " --help");
    EXPECT_EQ(help.code, 0) << command.path;
    if (!command.subcommands.empty() && command.path != "strata") continue;  // its subcommands have them
    EXPECT_THAT(help.out, HasSubstr("Example")) << command.path;
    EXPECT_THAT(help.out, HasSubstr("\n  " + command.path)) << command.path;
  }
}

TEST_F(HelpTest, BashCompletesCommandsOptionsKeysAndValues) {
  write("notes.txt", "");
  write("more.toml", "");
  EXPECT_THAT(completed("strata "), Contains("train"));
  EXPECT_THAT(completed("strata tra"), UnorderedElementsAre("train"));
  EXPECT_THAT(completed("strata config "), UnorderedElementsAre("check", "show", "keys"));
  EXPECT_THAT(completed("strata sample --tempe"), UnorderedElementsAre("--temperature"));
  EXPECT_THAT(completed("strata sample runs/x --top"), UnorderedElementsAre("--top-k", "--top-p"));
  EXPECT_THAT(completed("strata convert a b --to "), testing::IsSupersetOf({"strata", "hf", "safetensors"}));
  EXPECT_THAT(completed("strata data show x --format pl"), UnorderedElementsAre("plain"));
  EXPECT_THAT(completed("strata completion "), UnorderedElementsAre("bash", "zsh", "fish"));
  EXPECT_THAT(completed("strata tokenize no"), UnorderedElementsAre("notes.txt"));
  EXPECT_THAT(completed("strata train more.toml optimizer.w"),
              UnorderedElementsAre("optimizer.weight_decay="));
  EXPECT_THAT(completed("strata train mo"), Contains("more.toml"));
  // bash cuts words at '=': what is offered is what stands behind it.
  EXPECT_THAT(completed("strata train more.toml data.packing="),
              UnorderedElementsAre("isolated", "concat", "best_fit", "pairs"));
  EXPECT_THAT(completed("strata plan more.toml model.tied=f"), UnorderedElementsAre("false"));
  EXPECT_THAT(completed("strata version optimizer.w"), Not(Contains("optimizer.weight_decay=")));
}

// Every word of the tables is in every script, and the other shells read theirs without complaint where they
// are.
TEST_F(HelpTest, ScriptsHoldTheTablesAndParse) {
  for (const std::string shell_name : {"bash", "zsh", "fish"}) {
    const Outcome script = run("completion " + shell_name, shell_name + ".script");
    EXPECT_EQ(script.code, 0) << script.err;
    const std::string text = read(shell_name + ".script");
    for (const Key& key : key_table().keys()) EXPECT_THAT(text, HasSubstr(key.path)) << shell_name;
    for (const Command& command : commands()) EXPECT_THAT(text, HasSubstr(std::string(command.name)));
    EXPECT_EQ(shell("if command -v " + shell_name + " >/dev/null; then " + shell_name + " -n " + shell_name +
                    ".script; fi")
                  .code,
              0)
        << shell_name << read(".err");
  }
  const Outcome unknown = run("completion bsh");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean bash?"));
}

TEST_F(HelpTest, TheReferenceIsMadeOfTheTable) {
  const Outcome page = run("config keys --markdown");
  EXPECT_EQ(page.code, 0) << page.err;
  EXPECT_THAT(page.out, testing::StartsWith("# Configuration keys\n"));
  const Outcome text = run("config keys optimizer");
  for (const Key& key : key_table().keys()) {
    EXPECT_THAT(page.out, HasSubstr("| `" + std::string(key.name) + "` |"));
    EXPECT_EQ(count(text.out, "  " + key.path + " = "), key.section == "optimizer" ? 1u : 0u) << key.path;
  }
  EXPECT_THAT(text.out, Not(HasSubstr("|")));
}

}  // namespace
}  // namespace strata
