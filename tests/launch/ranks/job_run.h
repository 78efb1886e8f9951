// SPDX-License-Identifier: Apache-2.0
// The program on several ranks as users start it, in a folder that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace strata {

struct JobOutcome {
  int code = 0;
  std::string out, err;
  double seconds = 0;

  // What the program itself reported.
  size_t errors() const {
    size_t times = 0;
    for (size_t at = err.find("strata: error: "); at != std::string::npos;
         at = err.find("strata: error: ", at + 1))
      ++times;
    return times;
  }
};

class JobTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "strata-ranks-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::ofstream text(folder_ / "text.txt");
    for (int i = 0; i < 1500; ++i)
      text << "verse " << i << ": and " << i * i % 97 << " begat " << i * 7 % 31 << ".\n";
    std::ofstream(folder_ / "job.toml") << R"([run]
name = "job"
steps = 4
threads = 1
[model]
arch = "llama"
layers = 4
hidden = 32
heads = 4
ffn = 64
[data]
train = ["text.txt"]
seq_len = 16
[batch]
tokens_per_step = 256
micro_batch = 2
[precision]
compute = "fp32"
[log]
every = 1
tensorboard = false
[eval]
every = 4
tokens = 512
)";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // `ranks` 0: without mpirun. `prefix` is put before every rank's program.
  JobOutcome run(int ranks, const std::string& arguments, const std::string& prefix = "",
                 int limit_s = 60) const {
    const auto begin = std::chrono::steady_clock::now();
    const std::string launcher = ranks == 0 ? "" : STRATA_MPIRUN " -n " + std::to_string(ranks) + " ";
    const std::string command = "cd '" + folder_.string() + "' && timeout -k 5 " + std::to_string(limit_s) +
                                " " + launcher + prefix + " '" STRATA_PROGRAM "' " + arguments +
                                " >.out 2>.err </dev/null";
    const int status = std::system(command.c_str());
    JobOutcome outcome{
        .code = WIFEXITED(status) ? WEXITSTATUS(status) : -1, .out = read(".out"), .err = read(".err")};
    outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return outcome;
  }

  std::string read(const std::string& name) const {
    std::ifstream stream(folder_ / name, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  // The losses of a run, as they were written.
  std::vector<double> losses(const std::string& out) const {
    std::ifstream lines(folder_ / out / "metrics.jsonl");
    std::vector<double> values;
    for (std::string line; std::getline(lines, line);)
      values.push_back(nlohmann::json::parse(line).at("loss"));
    return values;
  }

  std::filesystem::path folder_;
};

}  // namespace strata
