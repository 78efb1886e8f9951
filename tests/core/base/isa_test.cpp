// SPDX-License-Identifier: Apache-2.0
#include "core/base/isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "core/base/error.h"

namespace strata {
namespace {

TEST(Isa, EveryLevelHasAName) {
  EXPECT_EQ(name(Isa::portable), "portable");
  EXPECT_EQ(name(Isa::avx2), "avx2");
  EXPECT_EQ(name(Isa::avx512), "avx512");
  EXPECT_EQ(name(Isa::avx512_bf16), "avx512_bf16");
}

TEST(Isa, TheBestLevelIsTheDefault) {
  for (const Isa machine : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16})
    EXPECT_EQ(choose_isa("", machine), machine);
}

TEST(Isa, ALowerLevelCanBeAskedFor) {
  EXPECT_EQ(choose_isa("portable", Isa::avx512_bf16), Isa::portable);
  EXPECT_EQ(choose_isa("avx2", Isa::avx512), Isa::avx2);
  EXPECT_EQ(choose_isa("avx512", Isa::avx512), Isa::avx512);
}

std::string refusal(std::string_view requested, Isa machine) {
  try {
    choose_isa(requested, machine);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::environment);
    return error.what();
  }
  return "not refused";
}

TEST(Isa, ALevelTheMachineLacksIsRefused) {
  EXPECT_EQ(refusal("avx512", Isa::avx2),
            "this machine does not have the instruction set avx512\n"
            "  where:    environment variable STRATA_ISA\n"
            "  found:    STRATA_ISA=avx512\n"
            "  expected: avx2 or a lower level\n"
            "  fix:      unset STRATA_ISA to use the best level there is");
}

TEST(Isa, AnUnknownNameIsRefused) {
  EXPECT_THAT(refusal("AVX2", Isa::avx2), testing::HasSubstr("unknown instruction set"));
  EXPECT_THAT(refusal("sse", Isa::avx2),
              testing::HasSubstr("expected: portable, avx2, avx512 or avx512_bf16"));
}

TEST(Isa, TheActiveLevelFollowsTheEnvironment) {
  const char* requested = std::getenv("STRATA_ISA");
  EXPECT_EQ(active_isa(), choose_isa(requested ? requested : "", machine_isa()));
}

// The kernel's own list of features is an independent witness of what the machine has.
TEST(Isa, AgreesWithTheOperatingSystem) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
  }
  if (line.empty()) GTEST_SKIP() << "no /proc/cpuinfo";
  std::istringstream words(line);
  std::string word;
  bool avx2 = false, avx512 = false, bf16 = false;
  while (words >> word) {
    avx2 |= word == "avx2";
    avx512 |= word == "avx512vl";
    bf16 |= word == "avx512_bf16";
  }
  EXPECT_EQ(machine_isa(), bf16 ? Isa::avx512_bf16 : avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::portable);
}

}  // namespace
}  // namespace strata
