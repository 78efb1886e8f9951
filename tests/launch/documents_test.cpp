// SPDX-License-Identifier: Apache-2.0
// What the pages promise: every command of README and of the guides "coming from" is run as it stands there,
// in their order, in a folder that holds the files they speak of; names of keys in the guides are those of
// the table; the examples are free of faults and can be planned.
//
// Two things are not as on the page: runs are made short and small by words behind the command, and each goes
// to a folder of its own where the page names none (the page's are alternatives).
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "launch/config/key_match.h"
#include "launch/config/key_table.h"
#include "tests/launch/program_run.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

struct Skipped {
  std::string begins, why;
};
const std::vector<Skipped> kSkipped = {
    {"launch/quickstart.sh", "installs packages and trains for minutes; tests/run.sh and releases run it"},
    {"tests/run.sh", "is what runs this test"},
    {"cmake --preset cuda", "needs the CUDA toolkit"},
    {"build/cuda/launch/strata", "needs the build above"},
    {"launch/run.sh", "needs a host file; tests of their own run it"},
    {"sbatch", "needs Slurm; the full suite starts one"},
};

// What must be there before a command, beyond the folder.
struct Before {
  std::string begins, words;
};
const std::vector<Before> kBefore = {
    {"strata diff runs/mine runs/other", "cp -r runs/mine runs/other"},
};

std::string page(const std::string& name) {
  std::ifstream file(fs::path(STRATA_SOURCE_DIR) / name);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> commands_of(const std::string& name) {
  std::vector<std::string> commands;
  std::istringstream lines(page(name));
  bool inside = false;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("```"))
      inside = line == "```sh";
    else if (inside && !line.empty() && !line.starts_with('#'))
      commands.push_back(line);
  return commands;
}

std::vector<std::string> guides() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(STRATA_SOURCE_DIR) / "examples/coming_from"))
    names.push_back("examples/coming_from/" + entry.path().filename().string());
  return names;
}

class DocumentsTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    fs::create_directory(folder_ / "bin");
    fs::create_symlink(STRATA_PROGRAM, folder_ / "bin/strata");
    if (*STRATA_MPIRUN != 0) {
      write("bin/mpirun", "#!/bin/sh\nexec " STRATA_MPIRUN " \"$@\"\n");
      fs::permissions(folder_ / "bin/mpirun", fs::perms::owner_all);
    }
    std::string text, chats, pairs;
    for (int i = 0; i < 600; ++i) {
      const std::string n = std::to_string(i);
      text += "verse " + n + ": and " + std::to_string(i * i % 97) + " begat.\n";
      chats += R"({"messages": [{"role": "user", "content": "q)" + n +
               R"("}, {"role": "assistant", "content": "yes"}]})" + "\n";
      pairs += R"({"prompt": "q)" + n + R"( ", "completion": "a)" + n + R"("})" + "\n";
    }
    for (const char* name : {"my.txt", "other.txt", "kjv.txt"}) write(name, text);
    write("chat.jsonl", chats);
    write("pairs.jsonl", pairs);
  }

  // A small model of the family, as a Hugging Face folder.
  void make_model() {
    write("model.toml",
          "[run]\nname = \"made\"\nsteps = 1\n[model]\nlayers = 2\nhidden = 32\nheads = 4\nffn = 64\nqk_norm "
          "= true\n"
          "max_positions = 64\n[data]\ntrain = [\"my.txt\"]\nseq_len = 32\n[batch]\ntokens_per_step = 64\n"
          "micro_batch = 1\n[eval]\nevery = 0\n");
    ASSERT_EQ(run("train model.toml").code, 0) << read(".err");
    ASSERT_EQ(run("convert runs/made models/qwen3").code, 0) << read(".err");
  }

  std::string as_run(std::string command) {
    if (const size_t comment = command.find("  #"); comment != std::string::npos) command.resize(comment);
    const bool trains = command.find("strata train ") != std::string::npos;
    if (!trains) return command;
    const auto says = [&](const char* key) { return command.find(key) != std::string::npos; };
    command += " run.threads=1 data.seq_len=32 batch.tokens_per_step=256 schedule.warmup=0 eval.tokens=256";
    if (!says("run.steps=")) command += " run.steps=2";
    // A model that goes on keeps its folder, which the page speaks of later.
    if (!says("run.out=") && !says("tuned.toml"))
      command += " run.out=runs/alternative" + std::to_string(++alternatives_);
    return command;
  }

  void run_page(const std::string& name) {
    make_model();
    const std::vector<std::string> commands = commands_of(name);
    EXPECT_GT(commands.size(), 3u) << name;
    for (const std::string& command : commands) {
      const auto begins = [&](const auto& row) { return command.starts_with(row.begins); };
      if (const auto skipped = std::ranges::find_if(kSkipped, begins); skipped != kSkipped.end()) continue;
      if (command.starts_with("mpirun") && *STRATA_MPIRUN == 0) continue;
      std::string words = "export PATH='" + (folder_ / "bin").string() + "':\"$PATH\"; ";
      for (const Before& before : kBefore)
        if (begins(before)) words += before.words + "; ";
      const Outcome outcome = shell(words + as_run(command));
      EXPECT_EQ(outcome.code, 0) << name << ": " << as_run(command) << "\n" << outcome.err << outcome.out;
    }
  }

 private:
  int alternatives_ = 0;
};

TEST_F(DocumentsTest, TheCommandsOfTheReadmeRun) { run_page("README.md"); }

TEST_F(DocumentsTest, TheCommandsOfTheGuidesRun) {
  ASSERT_EQ(guides().size(), 4u);
  for (const std::string& guide : guides()) {
    TearDown();
    SetUp();
    run_page(guide);
  }
}

// What is skipped is there: no row outlives its command.
TEST_F(DocumentsTest, SkippedCommandsAreOnThePage) {
  const std::string readme = page("README.md");
  for (const Skipped& row : kSkipped)
    EXPECT_NE(readme.find("\n" + row.begins), std::string::npos) << row.begins;
}

std::vector<std::string> in_backticks(const std::string& cell) {
  std::vector<std::string> names;
  for (size_t at = cell.find('`'); at != std::string::npos;) {
    const size_t end = cell.find('`', at + 1);
    names.push_back(cell.substr(at + 1, end - at - 1));
    at = cell.find('`', end + 1);
  }
  return names;
}

// Of every "| `theirs` | `section.key` | note |": the key exists, and where the note says so their name is
// read as it.
TEST(Guides, NameKeysOfTheTable) {
  for (const std::string& guide : guides()) {
    std::istringstream lines(page(guide));
    int rows = 0;
    bool keys = false;
    for (std::string line; std::getline(lines, line);) {
      if (line.find("| key here | note |") != std::string::npos) keys = true;
      if (!keys || !line.starts_with("| `")) continue;
      std::istringstream text(line.substr(2));
      std::string theirs, ours, note;
      std::getline(text, theirs, '|');
      std::getline(text, ours, '|');
      std::getline(text, note, '|');
      ASSERT_EQ(in_backticks(ours).size(), 1u) << guide << ": " << line;
      const std::string key = in_backticks(ours)[0];
      EXPECT_NE(key_table().find(key), nullptr) << guide << ": " << line;
      ++rows;
      if (!note.starts_with(" read")) continue;
      for (const std::string& name : in_backticks(theirs)) {
        const KeyMatch match = match_key("", name);
        ASSERT_NE(match.key, nullptr) << guide << ": " << line;
        EXPECT_EQ(match.key->path, key) << guide << ": " << line;
      }
    }
    EXPECT_GT(rows, 15) << guide;
  }
}

TEST_F(DocumentsTest, TheExamplesAreFreeOfFaultsAndPlanned) {
  fs::create_directories(folder_ / "models/smollm2");
  write(
      "models/smollm2/tokenizer.json",
      R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}})");
  std::set<std::string> seen;
  for (const auto& entry : fs::directory_iterator(fs::path(STRATA_SOURCE_DIR) / "examples")) {
    if (entry.path().extension() != ".toml") continue;
    seen.insert(entry.path().filename().string());
    const std::string file = "'" + entry.path().string() + "'";
    EXPECT_EQ(run("config check " + file).code, 0) << read(".err");
    const Outcome plan = run("plan " + file);
    EXPECT_EQ(plan.code, 0) << file << plan.err;
    EXPECT_THAT(plan.out, testing::HasSubstr("step")) << file;
    // The page of the folder has a row for it.
    EXPECT_THAT(page("examples/README.md"),
                testing::HasSubstr("| `" + entry.path().filename().string() + "` |"));
  }
  EXPECT_GE(seen.size(), 12u);
}

}  // namespace
}  // namespace strata
