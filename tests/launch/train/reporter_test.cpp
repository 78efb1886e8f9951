// SPDX-License-Identifier: Apache-2.0
#include "launch/train/reporter.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "core/io/io_error.h"
#include "core/io/memory_file_system.h"
#include "launch/metrics/metrics_log.h"
#include "tests/launch/metrics/sample_run.h"

namespace strata {
namespace {

constexpr std::string_view kConfig = R"(
[run]
out = "out"
steps = 9
[model]
layers = 1
hidden = 32
heads = 2
ffn = 64
[data]
train = ["t.txt"]
seq_len = 16
[batch]
tokens_per_step = 64
micro_batch = 1
[schedule]
warmup = 0
)";

std::vector<int64_t> steps_of(FileSystem& files, const std::string& path) {
  std::vector<int64_t> steps;
  for (const StepRecord& record : read_metrics(files, path)) steps.push_back(record.step);
  return steps;
}

// Whichever write meets the full disk, no record is lost or there twice once there is room, and nothing is
// thrown before.
TEST(Reporter, AFullDiskStopsNoTraining) {
  const LoadedConfig loaded = parse_config(kConfig, "r.toml");
  for (int64_t at = 0; at < 6; ++at) {
    MemoryFileSystem files;
    const RunFolder folder(files, loaded);
    Reporter reporter(files, folder, loaded, {.name = "r"}, std::nullopt, true);
    reporter.step(sample_step(1, 9));
    files.inject({.at = at, .times = 4, .call = IoCall::write, .code = ENOSPC});
    testing::internal::CaptureStderr();
    for (int64_t step = 2; step <= 8; ++step) {
      EXPECT_NO_THROW(reporter.step(sample_step(step, 9))) << at;
      if (step == 4) {
        EXPECT_NO_THROW(reporter.write_page("running"));
      }
    }
    EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("is full; training goes on"))
        << at;
    files.clear_faults();
    reporter.step(sample_step(9, 9));
    reporter.finish("finished");
    EXPECT_EQ(steps_of(files, folder.metrics()), (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9})) << at;
    EXPECT_TRUE(files.info(folder.report())) << at;
  }
}

TEST(Reporter, OtherFailuresAndAFullDiskAtTheEndAreTold) {
  const LoadedConfig loaded = parse_config(kConfig, "r.toml");
  MemoryFileSystem files;
  const RunFolder folder(files, loaded);
  Reporter reporter(files, folder, loaded, {.name = "r"}, std::nullopt, true);
  files.inject({.times = 1, .call = IoCall::write, .code = EIO});
  EXPECT_THROW(reporter.step(sample_step(1, 9)), IoError);
  files.inject({.times = -1, .call = IoCall::write, .code = ENOSPC});
  EXPECT_NO_THROW(reporter.step(sample_step(2, 9)));
  EXPECT_THROW(reporter.finish("finished"), IoError);
}

}  // namespace
}  // namespace strata
