// SPDX-License-Identifier: Apache-2.0
// The program as users meet it: exit codes, what goes to standard output and what to standard error, and that
// errors are printed once.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "launch/commands/command.h"
#include "tests/launch/program_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST_F(ProgramTest, FromARecipeToAPrintThatStartsTheSameRun) {
  const Outcome init = run("init tiny");
  EXPECT_EQ(init.code, 0) << init.err;
  EXPECT_THAT(init.out, HasSubstr("wrote tiny.toml"));

  const Outcome check = run("config check tiny.toml");
  EXPECT_EQ(check.code, 0) << check.err;
  EXPECT_THAT(check.out, HasSubstr("tiny.toml: ok, fingerprint "));

  const Outcome show = run("config show tiny.toml learning_rate=1e-4 run.threads=2");
  EXPECT_EQ(show.code, 0) << show.err;
  EXPECT_EQ(show.err, "strata: note: learning_rate is read as optimizer.lr (command line)\n");
  write("again.toml", show.out);
  const std::string fingerprint = run("config check again.toml").out.substr(10);
  EXPECT_EQ(fingerprint, run("config check tiny.toml optimizer.lr=1e-4").out.substr(9));
  EXPECT_NE(fingerprint, check.out.substr(9));
}

TEST_F(ProgramTest, InitNeverWritesOverAFile) {
  write("tiny.toml", "mine");
  const Outcome init = run("init tiny");
  EXPECT_EQ(init.code, 2);
  EXPECT_THAT(init.err, HasSubstr("a file of that name"));
  EXPECT_EQ(read("tiny.toml"), "mine");
  EXPECT_EQ(run("init tiny -o other.toml").code, 0);
  EXPECT_EQ(run("init tiny -o -").out, read("other.toml"));
  EXPECT_EQ(run("init tiny -o no/such/folder/x.toml").code, 5);
  EXPECT_EQ(run("init tiny -o /dev/full").code, 2);  // exists
}

TEST_F(ProgramTest, FaultsArePrintedOnceEachOnStandardError) {
  write("bad.toml", "[run]\nsteps = \"many\"\nseeed = 3\n");
  const Outcome check = run("config check bad.toml");
  EXPECT_EQ(check.code, 2);
  EXPECT_EQ(check.out, "");
  EXPECT_EQ(count(check.err, "strata: error: "), 6u)
      << check.err;  // two, and the four required keys that are missing
  EXPECT_EQ(count(check.err, "run.steps has the wrong type"), 1u);
  EXPECT_THAT(check.err, HasSubstr("strata: error: unknown key run.seeed\n"
                                   "  where:    bad.toml:3:1\n"
                                   "  found:    run.seeed\n"
                                   "  expected: a key of [run]\n"
                                   "  fix:      did you mean run.seed?\n"));
}

TEST_F(ProgramTest, BadCommandLines) {
  const struct {
    std::string arguments, what, fix;
  } cases[] = {
      {"", "subcommand is required", "strata --help"},
      {"versoin", "'versoin' is not a command of 'strata'", "did you mean 'strata version'?"},
      {"frobnicate", "'frobnicate' is not a command", "see 'strata --help'"},
      {"config", "subcommand is required", "strata config --help"},
      {"config chekc x.toml", "'chekc' is not a command of 'strata config'",
       "did you mean 'strata config check'?"},
      {"config check", "CONFIG is required", "strata config check --help"},
      {"config check x.toml --optimizer.lr=3", "--optimizer.lr=3", "written without dashes: optimizer.lr=3"},
      {"config keys optimiser", "no section [optimiser]", "strata config keys optimizer"},
      {"config keys run model", "model", "strata config keys --help"},
      {"version --jsn", "--jsn", "did you mean --json?"},
      {"init", "what to begin with is not clear", "strata init tiny"},
      {"init tinny", "no recipe 'tinny'", "strata init tiny"},
      {"config show nothing.toml", "cannot be read", "strata init tiny"},
  };
  for (const auto& wrong : cases) {
    const Outcome outcome = run(wrong.arguments);
    EXPECT_EQ(outcome.code, 2) << wrong.arguments;
    EXPECT_EQ(outcome.out, "") << wrong.arguments;
    EXPECT_EQ(count(outcome.err, "strata: error: "), 1u) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(wrong.what));
    EXPECT_THAT(outcome.err, testing::ContainsRegex("fix:      .*"));
    EXPECT_THAT(outcome.err, HasSubstr(wrong.fix));
    for (const char* part : {"where: ", "found: ", "expected: "}) EXPECT_THAT(outcome.err, HasSubstr(part));
  }
}

TEST_F(ProgramTest, EveryCommandExplainsItself) {
  const Outcome root = run("--help");
  EXPECT_EQ(root.code, 0);
  EXPECT_EQ(root.err, "");
  EXPECT_THAT(root.out, HasSubstr("Examples:"));
  for (const Command& command : commands()) {
    EXPECT_THAT(root.out, HasSubstr(std::string(command.help)));
    const Outcome help = run(std::string(command.name) + " --help");
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, HasSubstr("Usage: strata " + std::string(command.name)));
  }
  const Outcome check = run("config check --help");
  EXPECT_THAT(check.out, HasSubstr("strata config check tiny.toml"));
  EXPECT_THAT(check.out, HasSubstr("optimizer.lr = 0.0003: Peak learning rate"));
}

TEST_F(ProgramTest, VersionAndKeys) {
  EXPECT_EQ(run("--version").out, version_line() + "\n");
  EXPECT_THAT(run("version").out, testing::StartsWith(version_line()));
  const auto facts = nlohmann::json::parse(run("version --json").out);
  EXPECT_EQ("strata " + facts.at("version").get<std::string>(), version_line());
  EXPECT_FALSE(facts.at("instruction_set").get<std::string>().empty());
  EXPECT_THAT(run("config keys --markdown").out, testing::StartsWith("# Configuration keys"));
}

TEST_F(ProgramTest, TokenizesByATokenizerJson) {
  std::string text;
  for (int i = 0; i < 20'000; ++i)
    text += "Line " + std::to_string(i) + " of a licence.\nAnother, é 中文 🙂\n";
  write("text.txt", text);
  const std::string tokenizer = " --tokenizer '" STRATA_SOURCE_DIR "/tests/golden/tokenizers/llama3.json'";
  const Outcome one = run("tokenize text.txt --out one --threads 1" + tokenizer);
  const Outcome many = run("tokenize text.txt --out many --threads 3" + tokenizer);
  if (one.code == 5) GTEST_SKIP() << "built without PCRE2";
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(many.code, 0) << many.err;
  EXPECT_THAT(one.out, HasSubstr("tokens in 1 documents"));
  EXPECT_EQ(one.err, "");  // no progress bar where no terminal is
  EXPECT_GT(read("one.bin").size(), 20'000u);
  EXPECT_TRUE(read("one.bin") == read("many.bin"));
  write("broken.json", R"({"model": {"type": "Unigram", "vocab": []}})");
  const Outcome broken = run("tokenize text.txt --out broken --tokenizer broken.json");
  EXPECT_EQ(broken.code, 3);
  EXPECT_THAT(broken.err, HasSubstr("\"Unigram\""));
}

TEST_F(ProgramTest, OutputThatCannotBeWrittenIsAnError) {
  // One that fits into the buffer and fails when it is flushed, and one that fails while it is printed.
  for (const std::string command : {"version", "config keys"}) {
    const Outcome outcome = run(command, "/dev/full");
    EXPECT_EQ(outcome.code, 5);
    EXPECT_EQ(count(outcome.err, "strata: error: "), 1u) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("No space left on device"));
  }
}

TEST_F(ProgramTest, DataShowMarksWhatIsLearned) {
  write("chat.jsonl",
        R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]})"
        "\n"
        R"({"messages": [{"role": "user", "content": "red \u001b[31m"}]})"
        "\n");
  const Outcome show = run("data show chat.jsonl --template chatml");
  EXPECT_EQ(show.code, 0) << show.err;
  EXPECT_EQ(show.out,
            "--- record 1: 13 of 66 tokens learned\n"
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Yo<|im_end|>⟧\n⟦<|256|>⟧\n"
            "--- record 2: 0 of 38 tokens learned\n"
            "<|im_start|>user\nred \\x1b[31m<|im_end|>\n<|256|>\n"
            "--- 2 records, 104 tokens, 13 learned (12.5%)\n"
            "nothing is learned from 1 records\n");
  EXPECT_EQ(count(show.err, "nothing is learned from 1 of 2 records, the first of them chat.jsonl:2"), 1u);

  // The same once it is a token file, and no more than asked for.
  ASSERT_EQ(run("tokenize chat.jsonl --template chatml --out chat").code, 0) << read(".err");
  EXPECT_EQ(run("data show chat").out, show.out);
  EXPECT_THAT(run("data show chat -n 1 --tokens 5").out,
              testing::StartsWith("--- record 1: 13 of 66 tokens learned\n"
                                  "<|im_\n... 61 more tokens\n--- 2 records"));
  // Two records of 66 and 38 tokens: the first is cut by rows of 64, and no row holds both.
  EXPECT_THAT(
      run("data show chat -n 0 --seq-len 64").out,
      HasSubstr("rows of 64 tokens:\n"
                "  isolated  1 rows, 100.0% of their places have a target, 0 of 2 records are whole\n"
                "  best_fit  2 rows, 79.7% of their places have a target, 1 of 2 records are whole\n"));
  EXPECT_THAT(run("data show chat -n 0 --seq-len 102").out, HasSubstr("best_fit  1 rows, 100.0%"));
  EXPECT_EQ(run("data show chat.jsonl").code, 2);  // no template
  EXPECT_EQ(run("data show none.jsonl").code, 3);
  EXPECT_EQ(run("data show chat.jsonl --format txt").code, 2);
}

}  // namespace
}  // namespace strata
