// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/humanize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace strata {
namespace {

TEST(Humanize, Count) {
  const struct {
    double value;
    const char* text;
  } table[] = {{0, "0"},         {1, "1"},         {3.44, "3.4"},    {3.02, "3"},       {42, "42"},
               {512, "512"},     {999, "999"},     {999.4, "999"},   {999.5, "1.0k"},   {1000, "1.0k"},
               {1234, "1.2k"},   {12345, "12.3k"}, {99940, "99.9k"}, {99960, "100k"},   {123456, "123k"},
               {999499, "999k"}, {999500, "1.0M"}, {1.5e9, "1.5B"},  {2.04e12, "2.0T"}, {-1234, "-1.2k"},
               {NAN, "-"},       {INFINITY, "-"}};
  for (const auto& row : table) EXPECT_EQ(human_count(row.value), row.text) << row.value;
}

TEST(Humanize, Bytes) {
  const struct {
    int64_t value;
    const char* text;
  } table[] = {{0, "0 B"},
               {1, "1 B"},
               {1023, "1023 B"},
               {1024, "1 KiB"},
               {1536, "1.5 KiB"},
               {512 << 20, "512 MiB"},
               {(1 << 20) - 1, "1 MiB"},  // not "1024 KiB"
               {int64_t{3} << 29, "1.5 GiB"},
               {int64_t{100} << 30, "100 GiB"},
               {int64_t{7} << 40, "7 TiB"},
               {-2048, "-2 KiB"}};
  for (const auto& row : table) EXPECT_EQ(human_bytes(row.value), row.text) << row.value;
}

TEST(Humanize, Duration) {
  const struct {
    double value;
    const char* text;
  } table[] = {{0, "0.0s"},     {0.44, "0.4s"},    {9.94, "9.9s"},   {9.96, "10s"},
               {59.4, "59s"},   {59.6, "1m00s"},   {192, "3m12s"},   {3599.6, "1h00m"},
               {7500, "2h05m"}, {86399, "23h59m"}, {86400, "1d00h"}, {273600, "3d04h"},
               {-1, "-"},       {NAN, "-"},        {INFINITY, "-"},  {1e300, "-"}};
  for (const auto& row : table) EXPECT_EQ(human_duration(row.value), row.text) << row.value;
}

}  // namespace
}  // namespace strata
