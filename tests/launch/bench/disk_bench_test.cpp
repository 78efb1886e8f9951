// SPDX-License-Identifier: Apache-2.0
// `strata bench disk`: what it asks of fio and makes of its answer, and that a small run moves bytes, fills
// its table and leaves nothing behind.
#include "launch/bench/disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "tests/core/io/io_fixture.h"

namespace strata {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Fio, TheCommandNamesTheRange) {
  FioRequest request = {"/a/it's", 4096, 8 << 20, 1 << 20, 16, true, "io_uring", DiskMode::write};
  EXPECT_THAT(fio_command(request),
              AllOf(HasSubstr("--filename='/a/it'\\''s'"), HasSubstr("--direct=1"), HasSubstr("--bs=1048576"),
                    HasSubstr("--fixedbufs=1"),
                    HasSubstr("--name=write --rw=write --offset=4096 --size=8388608 --iodepth=16")));
  request.mode = DiskMode::half;
  EXPECT_THAT(fio_command(request),
              AllOf(HasSubstr("--rw=read --offset=4096 --size=4194304 --iodepth=8"),
                    HasSubstr("--rw=write --offset=4198400 --size=4194304 --iodepth=8")));
}

TEST(Fio, TheAnswerIsSummedOverJobs) {
  const auto flow = read_fio(R"({"jobs": [
      {"error": 0, "read": {"io_bytes": 1000000000, "runtime": 500}, "write": {"io_bytes": 0, "runtime": 0}, "usr_cpu": 10.0, "sys_cpu": 10.0},
      {"error": 0, "read": {"io_bytes": 0, "runtime": 0}, "write": {"io_bytes": 1000000000, "runtime": 1000}, "usr_cpu": 5.0, "sys_cpu": 0.0}]})");
  ASSERT_TRUE(flow.has_value());
  EXPECT_NEAR(flow->gb_per_s, 2.0, 1e-9);
  EXPECT_NEAR(flow->cpu_s_per_gb, (0.2 * 0.5 + 0.05 * 1.0) / 2, 1e-9);
  EXPECT_EQ(read_fio(""), std::nullopt);
  EXPECT_EQ(read_fio("{}"), std::nullopt);
  EXPECT_EQ(read_fio(R"({"jobs": [{"error": 5, "read": {}, "write": {}}]})"), std::nullopt);
}

TEST(DiskBench, ASmallRunFillsTheTableAndLeavesNothing) {
  const Place place = posix_place();
  const DiskBench bench = bench_disk(
      *place.files, {.folder = place.folder, .bytes = 4 << 20, .block = 64 << 10, .depth = 4, .rounds = 2});
  const size_t subjects = 2 + (bench.engine_note.empty() ? 1 : 0) + (bench.fio.empty() ? 0 : 1);
  ASSERT_EQ(bench.rows.size(), 3 * subjects);
  for (const DiskBenchRow& row : bench.rows) {
    EXPECT_GT(row.flow.gb_per_s, 0) << row.subject;
    EXPECT_GE(row.flow.cpu_s_per_gb, 0) << row.subject;
    EXPECT_EQ(row.of_fio > 0, !bench.fio.empty()) << row.subject;
    if (row.subject == "fio") {
      EXPECT_EQ(row.of_fio, 1.0);
    }
  }
  EXPECT_TRUE(place.files->list(place.folder)->empty());
  EXPECT_THAT(to_text(bench),
              AllOf(HasSubstr("tile store"), HasSubstr("4 MiB in blocks of 64 KiB, depth 4")));
  EXPECT_EQ(to_json(bench)["rows"].size(), bench.rows.size());
}

TEST(DiskBench, SizesThatDoNotFitAreRefused) {
  const Place place = posix_place();
  EXPECT_THROW(bench_disk(*place.files, {.folder = place.folder, .bytes = 3 << 20, .block = 2 << 20}), Error);
  EXPECT_THROW(bench_disk(*place.files, {.folder = place.folder, .bytes = 4 << 20, .block = 1000}), Error);
}

}  // namespace
}  // namespace strata
