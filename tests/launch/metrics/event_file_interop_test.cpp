// SPDX-License-Identifier: Apache-2.0
// TensorBoard itself reads our event files. Needs a Python with the package tensorboard:
// STRATA_INTEROP_PYTHON, or the virtual environment tests/interop/venv. Without one the test is skipped, or
// fails where STRATA_INTEROP=required.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "launch/metrics/event_file.h"
#include "tests/launch/metrics/sample_run.h"

namespace strata {
namespace {

using nlohmann::json;

const std::string kSource = STRATA_SOURCE_DIR;

std::string interop_python() {
  if (const char* named = std::getenv("STRATA_INTEROP_PYTHON")) return named;
  const std::string usual = kSource + "/tests/interop/venv/bin/python3";
  return std::filesystem::exists(usual) ? usual : "";
}

// What TensorBoard read: tag -> [[step, wall time, value], ...].
json read_by_tensorboard(const std::string& python, const std::string& folder) {
  const std::string command =
      "'" + python + "' '" + kSource + "/tests/interop/tensorboard_test.py' '" + folder + "'";
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot start " + command);
  std::string output;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  const int status = ::pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command;
  return json::parse(output);
}

TEST(TensorBoardInterop, ReadsEveryScalarOfARunThatWasResumed) {
  const std::string python = interop_python();
  if (python.empty()) {
    const char* wish = std::getenv("STRATA_INTEROP");
    if (wish != nullptr && std::string(wish) == "required") FAIL() << "no Python with tensorboard";
    GTEST_SKIP() << "no Python with tensorboard: set STRATA_INTEROP_PYTHON or make tests/interop/venv";
  }
  const TempFolder folder;
  constexpr double kStart = 1.7e9;
  // Steps 1..60, stopped; the checkpoint was at 50, so the second session writes 51..100 again.
  auto second_run = [](int64_t step) {
    StepRecord r = sample_step(step);
    if (step > 50) r.loss += 1;
    if (step == 70) r.loss = NAN;
    return r;
  };
  {
    EventFile file(folder.files(), folder / "tb", kStart);
    for (int64_t step = 1; step <= 60; ++step)
      file.write(sample_step(step), kStart + static_cast<double>(step));
  }
  {
    EventFile file(folder.files(), folder / "tb", kStart + 1000, 50);
    for (int64_t step = 51; step <= 100; ++step)
      file.write(second_run(step), kStart + 1000 + static_cast<double>(step));
  }

  const json read = read_by_tensorboard(python, folder / "tb");
  std::map<std::string, std::map<int64_t, std::pair<double, double>>> expected;
  for (int64_t step = 1; step <= 100; ++step)
    for (const auto& [tag, value] : EventFile::scalars_of(second_run(step)))
      expected[tag][step] = {kStart + (step > 50 ? 1000.0 : 0.0) + static_cast<double>(step), value};
  EXPECT_EQ(read.size(), expected.size());
  for (const auto& [tag, points] : expected) {
    ASSERT_TRUE(read.contains(tag)) << tag;
    ASSERT_EQ(read[tag].size(), points.size()) << tag;
    size_t i = 0;
    for (const auto& [step, point] : points) {
      const json& got = read[tag][i++];
      EXPECT_EQ(got[0], step) << tag;
      EXPECT_EQ(got[1], point.first) << tag;
      if (std::isnan(point.second)) {
        EXPECT_EQ(got[2], "nan");
        continue;
      }
      EXPECT_EQ(got[2].get<double>(), double{static_cast<float>(point.second)}) << tag << " at step " << step;
    }
  }
}

}  // namespace
}  // namespace strata
