// SPDX-License-Identifier: Apache-2.0
// The built program as users start it, in a folder that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace strata {

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "strata-program-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string read(const std::string& name) const {
    std::ifstream stream(folder_ / name, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  // Of every step that the run in runs/`name` took.
  std::vector<double> losses(const std::string& name) const {
    std::vector<double> all;
    std::istringstream lines(read("runs/" + name + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);)
      if (const size_t at = line.find("\"loss\": "); at != std::string::npos)
        all.push_back(std::stod(line.substr(at + 8)));
    return all;
  }

  // Runs the program in the folder; `arguments` is quoted for the shell already.
  Outcome run(const std::string& arguments, const std::string& output = ".out",
              const std::string& input = "/dev/null") const {
    return shell("'" STRATA_PROGRAM "' " + arguments, output, input);
  }
  Outcome shell(const std::string& words, const std::string& output = ".out",
                const std::string& input = "/dev/null") const {
    const std::string command =
        "cd '" + folder_.string() + "' && { " + words + "; } >" + output + " 2>.err <" + input;
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(".out"), read(".err")};
  }

  std::filesystem::path folder_;
};

inline size_t count(const std::string& text, const std::string& part) {
  size_t times = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
  return times;
}

}  // namespace strata
