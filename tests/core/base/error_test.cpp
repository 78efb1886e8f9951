// SPDX-License-Identifier: Apache-2.0
#include "core/base/error.h"

#include <gtest/gtest.h>

#include "core/base/check.h"

namespace strata {
namespace {

TEST(Error, PrintsThePartsThatArePresent) {
  EXPECT_EQ(to_string(Report{.what = "the key is unknown",
                             .where = "a.toml:3",
                             .found = "stps",
                             .expected = "steps",
                             .fix = "rename it"}),
            "the key is unknown\n"
            "  where:    a.toml:3\n"
            "  found:    stps\n"
            "  expected: steps\n"
            "  fix:      rename it");
  EXPECT_EQ(
      to_string(Report{.what = "no memory", .where = "", .found = "", .expected = "", .fix = "use less"}),
      "no memory\n  fix:      use less");
}

// The exit codes of DESIGN section 7 are read by scripts.
TEST(Error, CarriesItsExitCode) {
  const std::pair<Fault, int> codes[] = {{Fault::internal, 1}, {Fault::usage, 2},        {Fault::data, 3},
                                         {Fault::model, 4},    {Fault::environment, 5},  {Fault::memory, 6},
                                         {Fault::numeric, 7},  {Fault::communication, 8}};
  for (const auto& [fault, code] : codes) {
    const Error error(fault, {.what = "x", .where = "here", .found = "", .expected = "", .fix = ""});
    EXPECT_EQ(error.exit_code(), code);
    EXPECT_EQ(error.fault(), fault);
    EXPECT_EQ(error.report().where, "here");
    EXPECT_STREQ(error.what(), "x\n  where:    here");
  }
}

template <typename Call>
std::string broken_contract(Call call) {
  try {
    call();
  } catch (const ContractError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Check, ThrowsTheMessageWhenItDoesNotHold) {
  EXPECT_EQ(broken_contract([] { check(true, "[x] {}", 1); }), "nothing was thrown");
  EXPECT_EQ(broken_contract([] { check(false, "[x] expected {}, got {}", 2, "three"); }),
            "[x] expected 2, got three");
}

TEST(Check, NarrowKeepsTheValueOrThrows) {
  EXPECT_EQ(narrow<int8_t>(127), 127);
  EXPECT_EQ(narrow<int8_t>(int64_t{-128}), -128);
  EXPECT_EQ(narrow<uint32_t>(int64_t{4294967295}), 4294967295u);
  EXPECT_EQ(broken_contract([] { narrow<int8_t>(128); }), "[narrow] 128 does not fit in 8 bits");
  EXPECT_EQ(broken_contract([] { narrow<uint64_t>(-1); }), "[narrow] -1 does not fit in 64 bits");
  EXPECT_EQ(broken_contract([] { narrow<int64_t>(uint64_t{1} << 63); }),
            "[narrow] 9223372036854775808 does not fit in 64 bits");
}

TEST(Check, Division) {
  EXPECT_EQ(div_exact(12, 4), 3);
  EXPECT_EQ(broken_contract([] { div_exact(13, 4); }), "[div_exact] 13 is not a multiple of 4");
  EXPECT_EQ(broken_contract([] { div_exact(13, 0); }), "[div_exact] 13 is not a multiple of 0");
  EXPECT_EQ(div_up(0, 8), 0);
  EXPECT_EQ(div_up(1, 8), 1);
  EXPECT_EQ(div_up(8, 8), 1);
  EXPECT_EQ(div_up(9, 8), 2);
  EXPECT_EQ(round_up(9, 8), 16);
  EXPECT_EQ(round_up(16, 8), 16);
}

}  // namespace
}  // namespace strata
