// SPDX-License-Identifier: Apache-2.0
// What is printed can be run: programs as text, parsed and given to a plan, do the same to the bit; others
// are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

const StepRun kRun{.spec = small_llama(true), .evaluate = true};

std::vector<StepLayout> layouts() {
  return {
      {},
      {.mesh = {.dp = 4}, .partition = {2, 2, 4}, .recompute = true},
      {.mesh = {.dp = 2}, .partition = {2, 2, 2}, .tree = true},
      {.mesh = {.pp = 2, .tp = 2}, .sequence = true, .schedule = "zb-h1"},
      {.mesh = {.pp = 2, .dp = 2}, .schedule = "interleaved", .virtual_stages = 2, .partition = {1, 2, 2}}};
}

TEST(GivenPrograms, WhatWasPrintedRunsToTheSameBits) {
  for (StepLayout layout : layouts()) {
    const StepOutcome made = run_steps(kRun, layout);
    const std::string text = to_string(std::span<const Program>(made.programs));
    EXPECT_THAT(text, testing::StartsWith("# pipeline rank 0\nprogram train micro_batches="));
    layout.given = parse_programs(text);
    ASSERT_EQ(layout.given, made.programs) << to_string(layout);
    const StepOutcome given = run_steps(kRun, layout);
    EXPECT_EQ(different_bits(given, made), "") << to_string(layout);
    EXPECT_EQ(given.programs, made.programs) << to_string(layout);
  }
}

// An edit that is right runs: a free moved to the end keeps its buffer for longer and changes no number.
TEST(GivenPrograms, AnEditedTextIsWhatRuns) {
  StepLayout layout{.mesh = {.pp = 2}};
  const StepOutcome made = run_steps(kRun, layout);
  layout.given = made.programs;
  std::vector<Action>& list = layout.given[1].list;
  const auto free =
      std::find_if(list.begin(), list.end(), [](const Action& a) { return a.kind == Kind::free; });
  ASSERT_NE(free, list.end());
  std::rotate(free, free + 1, list.end());
  const StepOutcome given = run_steps(kRun, layout);
  EXPECT_EQ(different_bits(given, made), "");
  EXPECT_EQ(given.programs, layout.given);
}

std::string refusal(const StepLayout& layout) {
  try {
    run_steps(kRun, layout);
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::usage);
    return error.what();
  }
  return "it ran";
}

TEST(GivenPrograms, OfAnotherRunAreRefused) {
  const auto programs = [](const StepLayout& layout) { return run_steps(kRun, layout).programs; };
  StepLayout layout{.mesh = {.pp = 2}};
  layout.given = programs({});
  EXPECT_THAT(refusal(layout), testing::AllOf(testing::HasSubstr("the programs are of another pipeline"),
                                              testing::HasSubstr("programs of 1 ranks")));
  layout.given = programs({.mesh = {.pp = 2, .dp = 2}});
  EXPECT_THAT(refusal(layout), testing::HasSubstr("train with 4 micro-batches on 4 ranks"));
  StepLayout sharded{.mesh = {.dp = 2}, .partition = {2, 2, 2}};
  sharded.given = programs({.mesh = {.dp = 2}});
  EXPECT_THAT(refusal(sharded), testing::HasSubstr("block 0 has other properties"));
  layout.given = programs(layout = {.mesh = {.pp = 2}});
  for (Action& action : layout.given[0].list)
    if (action.kind == Kind::send) action.peer = 5;
  EXPECT_THAT(refusal(layout), testing::HasSubstr("messages with pipeline ranks 1, 5"));
}

TEST(GivenPrograms, ThatWouldGoWrongAreRefusedWithTheLine) {
  StepLayout layout{.mesh = {.pp = 2}};
  const std::vector<Program> made = run_steps(kRun, layout).programs;
  layout.given = made;
  std::erase_if(layout.given[1].list, [](const Action& a) { return a.kind == Kind::norm && a.block == 4; });
  EXPECT_THAT(
      refusal(layout),
      testing::AllOf(testing::HasSubstr("the given program would not do what a training step must do"),
                     testing::HasSubstr("pipeline rank 1"), testing::HasSubstr("norm")));
}

}  // namespace
}  // namespace strata
