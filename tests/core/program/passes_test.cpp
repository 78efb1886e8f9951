// SPDX-License-Identifier: Apache-2.0
// Generators and passes: small programs word for word, properties on random ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/check.h"
#include "core/program/edits.h"
#include "core/program/grid.h"
#include "core/program/passes.h"
#include "tests/core/program/judge.h"
#include "tests/core/program/plain_blocks.h"

namespace strata {
namespace {

TEST(Passes, StepOfThreeBlocksWordForWord) {
  EXPECT_EQ(lines(make_step(model(3), 2)),
            "begin\n"
            "forward 0 mb=0 save\n"
            "forward 1 mb=0 save\n"
            "loss 2 mb=0 overwrite\n"
            "free x 2 mb=0\n"
            "backward_input 1 mb=0\n"
            "free saved_input 1 mb=0\n"
            "backward_weight 1 mb=0 overwrite\n"
            "free x 1 mb=0\n"
            "free saved_weight 1 mb=0\n"
            "free dx 2 mb=0\n"
            "free deferred 1 mb=0\n"
            "backward_weight 0 mb=0 overwrite\n"
            "free dx 1 mb=0\n"
            "forward 0 mb=1 save\n"
            "forward 1 mb=1 save\n"
            "loss 2 mb=1 accumulate\n"
            "free x 2 mb=1\n"
            "backward_input 1 mb=1\n"
            "free saved_input 1 mb=1\n"
            "backward_weight 1 mb=1 accumulate\n"
            "free x 1 mb=1\n"
            "free saved_weight 1 mb=1\n"
            "free dx 2 mb=1\n"
            "free deferred 1 mb=1\n"
            "backward_weight 0 mb=1 accumulate\n"
            "free dx 1 mb=1\n"
            "norm 0\n"
            "norm 1\n"
            "norm 2\n"
            "clip\n"
            "update 0\n"
            "free grad 0\n"
            "pack 0\n"
            "update 1\n"
            "free grad 1\n"
            "pack 1\n"
            "update 2\n"
            "free grad 2\n"
            "pack 2\n");
}

TEST(Passes, EvaluationWordForWord) {
  EXPECT_EQ(lines(make_evaluation(model(3), 1)),
            "begin\n"
            "forward 0 mb=0 discard\n"
            "forward 1 mb=0 discard\n"
            "free x 1 mb=0\n"
            "loss_only 2 mb=0\n"
            "free x 2 mb=0\n");
}

TEST(Passes, RecomputeRunsForwardAgainRightBeforeTheFirstBackward) {
  const std::string text = lines(make_step(model(4), 1, {.recompute = {2}}));
  EXPECT_THAT(text, testing::HasSubstr("forward 1 mb=0 save\nforward 2 mb=0 discard\n"));
  EXPECT_THAT(text, testing::HasSubstr("recompute 2 mb=0\nbackward_input 2 mb=0\n"));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("recompute 1")));
}

TEST(Passes, FrozenBlocksBelowTheLowestTrainableSaveNothingAndHaveNoBackward) {
  auto blocks = model(4);
  blocks[0].trainable = blocks[1].trainable = false;
  const std::string text = lines(make_step(blocks, 1));
  EXPECT_THAT(text, testing::HasSubstr("forward 0 mb=0 discard\nforward 1 mb=0 discard\n"));
  EXPECT_THAT(text, testing::HasSubstr("forward 2 mb=0 save\n"));
  for (const char* absent :
       {"backward_weight 0", "backward_weight 1", "backward_input 1", "update 0", "norm 1"})
    EXPECT_THAT(text, testing::Not(testing::HasSubstr(absent)));
  EXPECT_EQ(judge::judge_list(make_step(blocks, 3), {}), "");
}

TEST(Passes, TiedHeadMakesTheSharedGradient) {
  auto blocks = model(3);
  blocks[2].tied_to = 0;
  const std::string text = lines(make_step(blocks, 1));
  EXPECT_THAT(text, testing::HasSubstr("loss 2 mb=0 overwrite\n"));
  EXPECT_THAT(text, testing::HasSubstr("backward_weight 0 mb=0 accumulate\n"));
}

TEST(Passes, GridsExpandInTheirOrder) {
  EXPECT_EQ(to_string(one_stage(2)), "F0.0 B0.0 F0.1 B0.1");
  const Grid grid{{CellKind::forward, 0, 0},         {CellKind::forward, 1, 0},
                  {CellKind::backward_input, 1, 0},  {CellKind::backward_input, 0, 0},
                  {CellKind::backward_weight, 1, 0}, {CellKind::backward_weight, 0, 0}};
  EXPECT_EQ(to_string(grid), "F0.0 F1.0 I1.0 I0.0 W1.0 W0.0");
  EXPECT_EQ(lines(expand_stages(grid, {{0, 2}, {2, 4}}, model(4), 1, Goal::train)),
            "begin\n"
            "forward 0 mb=0 save\n"
            "forward 1 mb=0 save\n"
            "forward 2 mb=0 save\n"
            "loss 3 mb=0 overwrite\n"
            "backward_input 2 mb=0\n"
            "backward_input 1 mb=0\n"
            "backward_weight 2 mb=0 overwrite\n"
            "backward_weight 1 mb=0 overwrite\n"
            "backward_weight 0 mb=0 overwrite\n");
}

TEST(Passes, RefusesWhatMakesNoSense) {
  const auto message = [](auto body) -> std::string {
    try {
      body();
    } catch (const ContractError& error) {
      return error.what();
    }
    return "accepted";
  };
  auto frozen = model(3);
  for (BlockInfo& block : frozen) block.trainable = false;
  EXPECT_THAT(message([&] { make_step(frozen, 1); }), testing::HasSubstr("without trainable blocks"));
  EXPECT_THAT(message([&] { make_step(model(1), 1); }), testing::HasSubstr("1 blocks: a model has at least"));
  EXPECT_THAT(message([&] { make_step(model(3), 0); }), testing::HasSubstr("0 micro-batches"));
  EXPECT_THAT(message([&] { make_step(model(3), 1, {.recompute = {2}}); }),
              testing::HasSubstr("block 2 of 3"));
  EXPECT_THAT(message([&] { make_step(model(3), 1, {.recompute = {0}}); }),
              testing::HasSubstr("block 0 of 3"));
  auto tied = model(4);
  tied[1].tied_to = 0;
  EXPECT_THAT(message([&] { make_step(tied, 1); }),
              testing::HasSubstr("block 1 is tied, only the head can be"));
  auto nothing = model(3);
  nothing[1].has_parameters = false;
  EXPECT_THAT(message([&] { make_step(nothing, 1); }),
              testing::HasSubstr("block 1 has no parameters to train"));
  EXPECT_THAT(message([&] {
                expand_stages({{CellKind::forward, 1, 0}}, {{0, 3}}, model(3), 1, Goal::train);
              }),
              testing::HasSubstr("cell F1.0 in a grid of 1 stages"));
}

TEST(Edits, InsertionsRefersToOldPositionsAndKeepTheirOrder) {
  std::vector<Action> list{{.kind = Kind::begin}, {.kind = Kind::clip}};
  Edits edits;
  edits.insert(2, {.kind = Kind::norm, .block = 3});
  edits.insert(1, {.kind = Kind::norm, .block = 1});
  edits.insert(1, {.kind = Kind::norm, .block = 2});
  edits.insert(0, {.kind = Kind::norm, .block = 0});
  edits.apply(list);
  std::string text;
  for (const Action& action : list) text += to_string(action) + ";";
  EXPECT_EQ(text, "norm 0;begin;norm 1;norm 2;clip;norm 3;");
}

}  // namespace
}  // namespace strata
