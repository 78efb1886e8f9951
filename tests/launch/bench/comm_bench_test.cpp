// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/comm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace strata {
namespace {

TEST(CommBench, MeasuresEveryOperationAndSize) {
  const CommBench bench = bench_comm({.ranks = 3, .smallest = 12 << 10, .largest = 192 << 10, .rounds = 2});
  EXPECT_EQ(bench.ranks, 3);
  EXPECT_EQ(bench.transport, "threads");
  ASSERT_EQ(bench.rows.size(), 6U * 3);
  std::map<CollectiveKind, int> sizes;
  for (const CommBenchRow& row : bench.rows) {
    SCOPED_TRACE(fmt::format("{} of {}", name(row.kind), row.bytes));
    const int64_t x = int64_t{12 << 10} << 2 * sizes[row.kind]++;
    EXPECT_EQ(row.bytes, x);
    const std::map<CollectiveKind, int64_t> received = {
        {CollectiveKind::all_gather, x * 2 / 3}, {CollectiveKind::reduce_scatter, x * 2 / 3},
        {CollectiveKind::all_reduce, x * 4 / 3}, {CollectiveKind::all_to_all, x * 2 / 3},
        {CollectiveKind::broadcast, x},          {CollectiveKind::exchange, x}};
    EXPECT_EQ(row.received, received.at(row.kind));
    EXPECT_GT(row.time_us, 0);
    EXPECT_NEAR(row.gb_per_s * row.time_us * 1e3, static_cast<double>(row.received),
                1e-6 * static_cast<double>(x));
    EXPECT_GT(row.of_copy, 0);
  }
  for (const auto& [kind, count] : sizes) EXPECT_EQ(count, 3);
  EXPECT_THAT(to_text(bench), testing::HasSubstr("3 ranks over threads"));
  EXPECT_EQ(to_json(bench)["rows"].size(), bench.rows.size());
  EXPECT_EQ(to_json(bench)["rows"][3]["operation"], "reduce_scatter");
}

}  // namespace
}  // namespace strata
