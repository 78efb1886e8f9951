// SPDX-License-Identifier: Apache-2.0
// Scripts of tests/interop, run by another program's Python. STRATA_INTEROP_PYTHON names it; without one the
// tests are skipped, or fail where STRATA_INTEROP=required.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/checkpoint/sample.h"
#include "tests/support/hex.h"

namespace strata {

// Runs a script of tests/interop with `input`; nothing when its exit code is 77.
class Python {
 public:
  // `variable` of the environment names the program.
  explicit Python(const char* variable = "STRATA_INTEROP_PYTHON") {
    if (const char* path = std::getenv(variable)) python_ = path;
  }
  bool there() const { return !python_.empty(); }
  std::optional<nlohmann::json> run(const std::string& script, const std::string& arguments,
                                    const nlohmann::json& input) {
    const TemporaryFolder folder;
    const std::string given = folder.path() + "/in", said = folder.path() + "/out";
    std::ofstream(given) << input.dump();
    const std::string command = fmt::format("'{}' '{}/tests/interop/{}' {} <'{}' >'{}'", python_,
                                            STRATA_SOURCE_DIR, script, arguments, given, said);
    const int status = std::system(command.c_str());
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return std::nullopt;
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command;
    std::ifstream text(said);
    const nlohmann::json parsed = nlohmann::json::parse(text, nullptr, false);
    return parsed.is_discarded() ? nlohmann::json() : parsed;
  }

 private:
  std::string python_;
};

#define NEEDS(condition)                                                                             \
  if (!(condition)) {                                                                                \
    const char* const wish = std::getenv("STRATA_INTEROP");                                          \
    if (wish != nullptr && std::string(wish) == "required") FAIL() << "a Python package is missing"; \
    GTEST_SKIP() << "a Python package is missing";                                                   \
  }

}  // namespace strata
