// SPDX-License-Identifier: Apache-2.0
// One run of the scenario program under mpirun.
#pragma once

#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <regex>
#include <string>

namespace strata {

struct Outcome {
  int code = 0;
  std::string text;
  double seconds = 0;

  // What the program itself said.
  int messages() const {
    const std::regex line("strata: error: ");
    return static_cast<int>(
        std::distance(std::sregex_iterator(text.begin(), text.end(), line), std::sregex_iterator()));
  }
};

// A job that runs longer than `limit_s` is ended and has code 124.
inline Outcome run_job(int ranks, const std::string& arguments, int limit_s = 60) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string command = "timeout -k 5 " + std::to_string(limit_s) + " " STRATA_MPIRUN " -n " +
                              std::to_string(ranks) + " " STRATA_SCENARIO " " + arguments + " 2>&1";
  Outcome outcome;
  FILE* const pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) outcome.text.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return outcome;
}

}  // namespace strata
