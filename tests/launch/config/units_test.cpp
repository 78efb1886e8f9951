// SPDX-License-Identifier: Apache-2.0
#include "launch/config/units.h"

#include <gtest/gtest.h>

#include "launch/config/value.h"

namespace strata {
namespace {

TEST(Units, Durations) {
  const std::pair<const char*, int64_t> good[] = {{"0s", 0},      {"90s", 90},           {"30min", 1800},
                                                  {"1.5h", 5400}, {"1h30min", 5400},     {"1h 30min", 5400},
                                                  {"2d", 172800}, {"1d1h1min1s", 90061}, {"30 min", 1800},
                                                  {"1.1h", 3960}, {"0.5min", 30}};
  for (const auto& [text, seconds] : good) EXPECT_EQ(parse_duration(text), seconds) << text;
  for (const char* text : {"", "30", "min", "30 moons", "30Min", "-3s", "1.2.3s", "0.5s", "30min1h", "1s1s",
                           "1e3s", "99999999999999999999d", "3s!", ".s"})
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
}

TEST(Units, Sizes) {
  const std::pair<const char*, int64_t> good[] = {{"0", 0},
                                                  {"512", 512},
                                                  {"512B", 512},
                                                  {"16GiB", int64_t{16} << 30},
                                                  {"1.5TiB", 1649267441664},
                                                  {"16 GB", 16000000000},
                                                  {"3kB", 3000},
                                                  {"1KiB", 1024}};
  for (const auto& [text, bytes] : good) EXPECT_EQ(parse_size(text), bytes) << text;
  for (const char* text : {"", "GiB", "16gib", "-1B", "0.3B", "16GiB extra", "1GiB2MiB", "99999999TiB"})
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
}

TEST(Units, WhatIsPrintedReadsBack) {
  for (int64_t number = 0; number < 2000; ++number)
    for (const int64_t scale : {1, 59, 60, 1024, 3600, 86400, 1 << 20}) {
      EXPECT_EQ(parse_duration(format_duration(number * scale)), number * scale);
      EXPECT_EQ(parse_size(format_size(number * scale)), number * scale);
    }
  EXPECT_EQ(format_duration(5400), "1h30min");
  EXPECT_EQ(format_size(int64_t{16} << 30), "16GiB");
}

TEST(KeyValue, Toml) {
  EXPECT_EQ(to_toml(KeyValue(true)), "true");
  EXPECT_EQ(to_toml(KeyValue(int64_t{-3})), "-3");
  EXPECT_EQ(to_toml(KeyValue(3.0)), "3.0");
  EXPECT_EQ(to_toml(KeyValue(-0.0)), "-0.0");
  EXPECT_EQ(to_toml(KeyValue(1e-5)), "1e-5");
  EXPECT_EQ(to_toml(KeyValue(1e-12)), "1e-12");
  EXPECT_EQ(to_toml(KeyValue(1e300)), "1e+300");
  EXPECT_EQ(to_toml(KeyValue(0.1 + 0.2)), "0.30000000000000004");
  EXPECT_EQ(to_toml(KeyValue(std::string("a\"\\\n\x01"))), R"("a\"\\\n\u0001")");
  EXPECT_EQ(to_toml(KeyValue(std::vector<double>{0.9, 1})), "[0.9, 1.0]");
  EXPECT_EQ(to_toml(KeyValue(std::vector<std::string>{})), "[]");
  EXPECT_EQ(to_toml(KeyValue(Period{.steps = 0, .seconds = 90})), "\"1min30s\"");
  EXPECT_EQ(to_toml(KeyValue(Off{})), "\"off\"");
}

}  // namespace
}  // namespace strata
