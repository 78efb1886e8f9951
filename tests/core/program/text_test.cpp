// SPDX-License-Identifier: Apache-2.0
// Programs print and parse back exactly; what does not parse is named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/program/passes.h"
#include "tests/core/program/random_programs.h"

namespace strata {
namespace {

TEST(ProgramText, ActionsReadAsExpected) {
  const std::vector<std::pair<Action, std::string>> table{
      {{.kind = Kind::begin}, "begin"},
      {{.kind = Kind::forward, .block = 3, .micro_batch = 1, .keep = Keep::discard},
       "forward 3 mb=1 discard"},
      {{.kind = Kind::recompute, .block = 3, .micro_batch = 1}, "recompute 3 mb=1"},
      {{.kind = Kind::backward_input, .block = 12, .micro_batch = 0}, "backward_input 12 mb=0"},
      {{.kind = Kind::backward_weight, .block = 0, .micro_batch = 2}, "backward_weight 0 mb=2 accumulate"},
      {{.kind = Kind::loss, .block = 33, .micro_batch = 0, .write = Write::overwrite},
       "loss 33 mb=0 overwrite"},
      {{.kind = Kind::loss_only, .block = 33, .micro_batch = 7}, "loss_only 33 mb=7"},
      {{.kind = Kind::norm, .block = 4}, "norm 4"},
      {{.kind = Kind::clip}, "clip"},
      {{.kind = Kind::update, .block = 4}, "update 4"},
      {{.kind = Kind::pack, .block = 4}, "pack 4"},
      {{.kind = Kind::gather, .block = 4}, "gather 4"},
      {{.kind = Kind::spread, .block = 4}, "spread 4"},
      {{.kind = Kind::complete, .block = 4}, "complete 4"},
      {{.kind = Kind::total}, "total"},
      {{.kind = Kind::send, .block = 4, .micro_batch = 1, .peer = 3, .cls = ValueClass::dx},
       "send dx 4 mb=1 peer=3"},
      {{.kind = Kind::receive, .block = 4, .micro_batch = 0, .peer = 0}, "receive x 4 mb=0 peer=0"},
      {{.kind = Kind::reduce, .block = 4, .slot = 2, .write = Write::overwrite, .level = 1, .to = 3},
       "reduce 4 level=1 to=3 slot=2 overwrite"},
      {{.kind = Kind::fold, .block = 4, .with = 1}, "fold 4 with=1"},
      {{.kind = Kind::fold, .block = 4, .slot = 2, .with = 3}, "fold 4 slot=2 with=3"},
      {{.kind = Kind::tie, .block = 0}, "tie 0"},
      {{.kind = Kind::tie, .block = 0, .peer = 3}, "tie 0 peer=3"},
      {{.kind = Kind::backward_weight, .block = 1, .micro_batch = 2, .slot = 2, .write = Write::overwrite},
       "backward_weight 1 mb=2 slot=2 overwrite"},
      {free_of({.cls = ValueClass::saved_input, .block = 3, .micro_batch = 1}), "free saved_input 3 mb=1"},
      {free_of({.cls = ValueClass::weight, .block = 3, .tier = Tier::host, .level = 2}),
       "free weight 3 tier=host level=2"},
      {free_of({.cls = ValueClass::scalars}), "free scalars"},
      {move_of({.cls = ValueClass::moments, .block = 3, .tier = Tier::nvme, .level = 2}, Tier::device),
       "load moments 3 level=2 from=nvme onto=device"},
      {move_of({.cls = ValueClass::x, .block = 3, .micro_batch = 1}, Tier::host),
       "store x 3 mb=1 from=device onto=host"},
      {{.kind = Kind::commit}, "commit"},
  };
  for (const auto& [action, text] : table) {
    EXPECT_EQ(to_string(action), text);
    EXPECT_EQ(parse_action(text), action) << text;
  }
}

TEST(ProgramText, RandomProgramsRoundTrip) {
  random_programs::Random random(1);
  for (int i = 0; i < 200; ++i) {
    const Program program =
        i % 4 == 0 ? random_programs::evaluation(random) : random_programs::training(random);
    const std::string text = to_string(program);
    ASSERT_EQ(parse_program(text), program) << text;
  }
}

TEST(ProgramText, CommentsAndEmptyLinesAreSkipped) {
  const Program program = parse_program(
      "# a program\n\nprogram train micro_batches=2   # two\n block 0 parameters trainable\r\nblock 1 "
      "tied_to=0\n"
      "initial scalars\nbegin # now\n\tforward  0\tmb=0 save");
  EXPECT_EQ(program.micro_batches, 2);
  ASSERT_EQ(program.num_blocks(), 2);
  EXPECT_EQ(program.blocks[1].tied_to, 0);
  EXPECT_FALSE(program.blocks[1].has_parameters);
  ASSERT_EQ(program.list.size(), 2u);
  EXPECT_EQ(program.list[1].kind, Kind::forward);
}

TEST(ProgramText, RefusesWithLineAndWord) {
  const std::string header = "program train micro_batches=1\nblock 0 parameters\nblock 1 parameters\n";
  struct Case {
    std::string text, found, expected;
    int line;
  };
  const std::vector<Case> table{
      {"", "an empty text", "program train|evaluate", 0},
      {"forward 0 mb=0 save", "\"forward\"", "program train|evaluate", 1},
      {"program learn micro_batches=1", "\"learn\"", "train or evaluate", 1},
      {"program train", "the end of the line", "micro_batches=<count>", 1},
      {"program train micro_batches=many", "\"micro_batches=many\"", "micro_batches=<count>", 1},
      {header + "block 3", "\"3\"", "block 2", 4},
      {header + "block 2 parameter", "\"parameter\"", "a property of a block", 4},
      {header + "forwards 0 mb=0 save", "\"forwards\"", "a kind of action", 4},
      {header + "forward", "the end of the line", "a block number", 4},
      {header + "forward -1 mb=0 save", "\"-1\"", "a block number", 4},
      {header + "forward 40000 mb=0 save", "\"40000\"", "a block number", 4},
      {header + "forward 0 mb= save", "\"mb=\"", "mb=<micro-batch>", 4},
      {header + "forward 0 mb=1x save", "\"mb=1x\"", "mb=<micro-batch>", 4},
      {header + "forward 0 mb=1 keep", "\"keep\"", "save or discard", 4},
      {header + "loss 1 mb=0", "the end of the line", "overwrite or accumulate", 4},
      {header + "clip 3", "\"3\"", "the end of the line", 4},
      {header + "free", "the end of the line", "a value class", 4},
      {header + "free y 3", "\"y\"", "a value class", 4},
      {header + "\nfree x 3 tier=disk", "\"tier=disk\"", "a block, mb=, tier= or level=", 5},
      {header + "free x 3 level=300", "\"level=300\"", "a block, mb=, tier= or level=", 4},
  };
  for (const Case& c : table) {
    try {
      parse_program(c.text);
      FAIL() << "accepted: " << c.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      EXPECT_EQ(error.report().found, c.found) << c.text;
      EXPECT_THAT(error.report().expected, testing::HasSubstr(c.expected)) << c.text;
      if (c.line > 0) {
        EXPECT_THAT(error.report().where, testing::StartsWith("line " + std::to_string(c.line) + ":"));
      }
    }
  }
}

}  // namespace
}  // namespace strata
