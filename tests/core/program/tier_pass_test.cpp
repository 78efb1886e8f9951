// SPDX-License-Identifier: Apache-2.0
// Where the moves of values go, word for word; which blocks stay; what the proof says of copies. That the
// programs are right whatever the homes, verify_test proves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/program/grid.h"
#include "core/program/passes.h"
#include "core/program/verify.h"
#include "tests/core/program/plain_blocks.h"
#include "tests/core/program/random_programs.h"

namespace strata {
namespace {

// The list from `first` on, without frees.
std::string lines_from(const Program& program, std::string_view first) {
  std::string text;
  for (const Action& action : program.list)
    if ((!text.empty() || to_string(action) == first) && action.kind != Kind::free)
      text += to_string(action) + "\n";
  return text;
}

TEST(TierPass, StateComesAheadOfItsUpdateAndGoesBehindIt) {
  std::vector<BlockInfo> blocks = model(3);
  for (BlockInfo& block : blocks) block.moments_home = Tier::nvme;
  const Program program = make_step(blocks, 1, {.tiers = {.prefetch = 1}});
  EXPECT_EQ(explain(program, verify(program)), "");
  EXPECT_EQ(lines_from(program, "load moments 0 from=nvme onto=device"),
            "load moments 0 from=nvme onto=device\n"
            "norm 0\nnorm 1\nnorm 2\nclip\n"
            "load moments 1 from=nvme onto=device\n"
            "update 0\n"
            "store moments 0 from=device onto=nvme\n"
            "pack 0\n"
            "load moments 2 from=nvme onto=device\n"
            "update 1\n"
            "store moments 1 from=device onto=nvme\n"
            "pack 1\n"
            "update 2\n"
            "store moments 2 from=device onto=nvme\n"
            "pack 2\n"
            "commit\n");
}

// The step before is applied block by block, each ahead of its forward; what a restart finds is whole then.
TEST(TierPass, DeferredUpdatesTravelAheadOfTheirForward) {
  std::vector<BlockInfo> blocks = model(3);
  for (BlockInfo& block : blocks) block.moments_home = Tier::nvme;
  blocks[1].grad_home = Tier::host;
  const Program program = make_step(blocks, 1, {.tiers = {.prefetch = 1}, .timing = Timing::deferred});
  EXPECT_EQ(explain(program, verify(program)), "");
  EXPECT_EQ(lines_from(program, to_string(program.list.front())),
            "load grad 1 from=host onto=device\n"
            "load moments 0 from=nvme onto=device\n"
            "load moments 1 from=nvme onto=device\n"
            "update 0\n"
            "store moments 0 from=device onto=nvme\n"
            "pack 0\n"
            "forward 0 mb=0 save\n"
            "load moments 2 from=nvme onto=device\n"
            "update 1\n"
            "store moments 1 from=device onto=nvme\n"
            "pack 1\n"
            "forward 1 mb=0 save\n"
            "update 2\n"
            "store moments 2 from=device onto=nvme\n"
            "commit\n"
            "pack 2\n"
            "begin\n"
            "loss 2 mb=0 overwrite\n"
            "backward_input 1 mb=0\n"
            "backward_weight 1 mb=0 overwrite\n"
            "backward_weight 0 mb=0 overwrite\n"
            "norm 0\nnorm 1\n"
            "store grad 1 from=device onto=host\n"
            "norm 2\nclip\n");
}

TEST(TierPass, EveryHopLeadsTheNext) {
  std::vector<BlockInfo> blocks = model(3);
  blocks[2].master_home = Tier::nvme;
  blocks[1].master_home = Tier::host;
  const Program program = make_step(blocks, 1, {.tiers = {.prefetch = 1, .through_host = true}});
  EXPECT_EQ(explain(program, verify(program)), "");
  EXPECT_EQ(lines_from(program, "load master 1 from=host onto=device"),
            "load master 1 from=host onto=device\n"
            "load master 2 from=nvme onto=host\n"
            "norm 0\nnorm 1\nnorm 2\nclip\n"
            "update 0\npack 0\n"
            "load master 2 from=host onto=device\n"
            "update 1\n"
            "store master 1 from=device onto=host\n"
            "pack 1\n"
            "update 2\n"
            "store master 2 from=device onto=host\n"
            "store master 2 from=host onto=nvme\n"
            "pack 2\n"
            "commit\n");
}

TEST(TierPass, WeightsFollowTheUsesOfAStepAndFrozenOnesAreNotStored) {
  std::vector<BlockInfo> blocks = model(4);
  for (BlockInfo& block : blocks) block.weight_home = Tier::host;
  blocks[0].trainable = false;
  blocks[0].packed = blocks[3].packed = false;
  const Program program = make_step(blocks, 1, {.tiers = {.prefetch = 1}});
  EXPECT_EQ(explain(program, verify(program)), "");
  // 2 and 3 stay from their forward to their update: nothing would be gained by loading them again.
  EXPECT_EQ(lines_from(program, "begin"),
            "begin\n"
            "load weight 0 from=host onto=device\n"
            "load weight 1 from=host onto=device\n"
            "forward 0 mb=0 discard\n"
            "load weight 2 from=host onto=device\n"
            "pack 1\n"
            "forward 1 mb=0 save\n"
            "load weight 3 from=host onto=device\n"
            "pack 2\n"
            "forward 2 mb=0 save\n"
            "load weight 1 from=host onto=device\n"
            "loss 3 mb=0 overwrite\n"
            "backward_input 2 mb=0\n"
            "backward_weight 2 mb=0 overwrite\n"
            "pack 1\n"
            "backward_input 1 mb=0\n"
            "backward_weight 1 mb=0 overwrite\n"
            "norm 1\nnorm 2\nnorm 3\nclip\n"
            "update 1\n"
            "store weight 1 from=device onto=host\n"
            "update 2\n"
            "store weight 2 from=device onto=host\n"
            "update 3\n"
            "store weight 3 from=device onto=host\n");
}

// Codes are made on the way from the device to the host: nothing skips the host, whatever else goes straight
// to a drive. What is wanted again at once reads them too, from the host.
TEST(TierPass, InputsThatCodesStandForPassTheHost) {
  std::vector<BlockInfo> blocks = model(5);
  for (size_t b = 1; b < blocks.size(); ++b) {
    blocks[b].x_home = Tier::nvme;
    blocks[b].x_quantized = true;
  }
  const Program program = make_step(blocks, 1, {.recompute = {1, 2, 3}, .tiers = {.prefetch = 1}});
  EXPECT_EQ(explain(program, verify(program)), "");
  const std::string text = to_string(program);
  EXPECT_EQ(to_string(parse_program(text)), text);
  EXPECT_THAT(text, testing::HasSubstr("x_quantized x_home=nvme"));
  EXPECT_EQ(parse_program(text).blocks, program.blocks);
  EXPECT_THAT(lines_from(program, "forward 1 mb=0 discard"),
              testing::StartsWith("forward 1 mb=0 discard\n"
                                  "store x 1 mb=0 from=device onto=host\n"
                                  "store x 1 mb=0 from=host onto=nvme\n"
                                  "forward 2 mb=0 discard\n"
                                  "store x 2 mb=0 from=device onto=host\n"
                                  "store x 2 mb=0 from=host onto=nvme\n"
                                  "load x 2 mb=0 from=nvme onto=host\n"
                                  "forward 3 mb=0 discard\n"
                                  "store x 3 mb=0 from=device onto=host\n"
                                  "load x 3 mb=0 from=host onto=device\n"
                                  "loss 4 mb=0 overwrite\n"
                                  "load x 2 mb=0 from=host onto=device\n"
                                  "load x 1 mb=0 from=nvme onto=host\n"
                                  "recompute 3 mb=0\n"
                                  "backward_input 3 mb=0\n"
                                  "backward_weight 3 mb=0 overwrite\n"
                                  "load x 1 mb=0 from=host onto=device\n"
                                  "recompute 2 mb=0\n"));
  const std::string skips = "load x 1 mb=0 from=nvme onto=device";
  std::string wrong = text;
  const std::string by_host = "load x 1 mb=0 from=nvme onto=host\n";
  const size_t at = wrong.find(by_host);
  ASSERT_NE(at, std::string::npos) << text;
  wrong.replace(at, by_host.size(), skips + "\n");
  EXPECT_THAT(explain(parse_program(wrong), verify(parse_program(wrong))),
              testing::HasSubstr("skips the host"));
}

// Which inputs are rounded depends on nothing but their homes: however far loads lead, every one comes back
// from its codes, and no forward or loss reads any.
TEST(TierPass, WhatCodesStandForComesBackWhateverThePrefetch) {
  for (const int prefetch : {0, 1, 2, 8})
    for (const Tier home : {Tier::host, Tier::nvme})
      for (const int group : {1, 3}) {
        std::vector<BlockInfo> blocks = model(5);
        for (size_t b = 1; b < blocks.size(); ++b) blocks[b].x_home = home, blocks[b].x_quantized = true;
        Pipeline pipeline{{one_stage(3)}, {{0, 5}}, {0}};
        if (group > 1) {
          pipeline = {{by_blocks(5, 3, group)}, {}, std::vector<int>(5, 0)};
          for (int b = 0; b < 5; ++b) pipeline.stages.push_back({b, b + 1});
        }
        const random_programs::Costs costs;
        const Program program =
            make_pipeline(blocks, 3, Goal::train, pipeline, {.tiers = {.prefetch = prefetch}}, costs).front();
        ASSERT_EQ(explain(program, verify(program)), "");
        std::set<std::pair<int, int>> decoded;
        for (const Action& action : program.list) {
          const std::pair cell{action.block, action.micro_batch};
          if (action.kind == Kind::load && action.onto == Tier::device) decoded.insert(cell);
          if (action.kind == Kind::forward || action.kind == Kind::loss) {
            EXPECT_FALSE(decoded.contains(cell)) << to_string(action);
          }
          if (action.kind == Kind::backward_weight && action.block > 0) {
            EXPECT_TRUE(decoded.contains(cell)) << to_string(action);
          }
        }
      }
}

TEST(Settle, AFixedSetStaysWhichGrowsWithTheFraction) {
  const auto homes = [](double kept) {
    std::vector<BlockInfo> blocks = model(5);
    TierOptions options{.moments = {.tier = Tier::nvme, .kept = kept}};
    settle(
        options, [](ValueClass cls, int b) { return cls == ValueClass::moments ? (b == 0 ? 40 : 15) : 0; },
        blocks);
    std::string text;
    for (const BlockInfo& block : blocks) {
      EXPECT_EQ(block.weight_home, Tier::device);
      text += block.moments_home == Tier::nvme ? 'n' : block.moments_home == Tier::host ? 'h' : 'd';
    }
    return text;
  };
  EXPECT_EQ(homes(0), "nnnnn");
  EXPECT_EQ(homes(0.39), "nnnnn");  // a smaller block does not take the place of the embedding
  EXPECT_EQ(homes(0.4), "hnnnn");
  EXPECT_EQ(homes(0.55), "hnnnh");
  EXPECT_EQ(homes(0.8), "hhnnh");
  EXPECT_EQ(homes(1), "hhhhh");
}

// A copy that is older than another one must not be used; it may be made.
TEST(VerifyTiers, MessagesNameTheCopy) {
  std::vector<BlockInfo> blocks = model(3);
  for (BlockInfo& block : blocks) {
    block.state_level = 1;
    block.moments_home = Tier::nvme;
    block.weight_home = Tier::nvme;
  }
  const std::string good = to_string(make_step(blocks, 1, {.tiers = {.prefetch = 1}}));
  ASSERT_EQ(explain(parse_program(good), verify(parse_program(good))), "");
  struct Case {
    std::string line, replacement, message;
  };
  const std::vector<Case> table{
      {"spread 1\n", "free weight 1\nload weight 1 from=nvme onto=device\nspread 1\n",
       "updates a stale copy of `weight 1`: action"},
      {"store moments 1 level=1 from=device onto=nvme\n", "",
       "is the last to change `moments 1 tier=nvme level=1`, and its home keeps an older version"},
      {"commit\n", "", "is followed by no commit: a restart finds the step before"},
      {"update 1\n", "update 1\ncommit\n", "makes `moments 0 tier=nvme level=1` of this step and"},
      {"spread 1\n", "store weight 1 from=device onto=nvme\ncommit\nspread 1\n",
       "makes a half-updated `weight 1 tier=nvme` what a restart finds"},
  };
  for (const Case& c : table) {
    std::string text = good;
    const size_t at = text.find("\n" + c.line) + 1;
    ASSERT_NE(at, std::string::npos + 1) << c.line << good;
    text.replace(at, c.line.size(), c.replacement);
    const Program program = parse_program(text);
    EXPECT_THAT(explain(program, verify(program)), testing::HasSubstr(c.message)) << c.line;
  }
}

}  // namespace
}  // namespace strata
