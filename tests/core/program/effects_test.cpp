// SPDX-License-Identifier: Apache-2.0
// The table of meanings, against a table written by hand.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/base/check.h"
#include "core/program/effects.h"
#include "tests/core/program/random_programs.h"

namespace strata {
namespace {

// Embedding, two blocks, a tied head.
std::vector<BlockInfo> model_with_twins() {
  std::vector<BlockInfo> blocks(4);
  blocks[0].saves_input = blocks[0].saves_weight = blocks[0].defers = false;
  blocks[3].tied_to = 0;
  blocks[1].weight_level = 1;
  blocks[1].grad_level = 2;
  blocks[1].state_level = 3;
  blocks[1].twin = 2;
  blocks[2].twin = 1;
  blocks[1].moments_home = Tier::nvme;
  return blocks;
}

std::string text(std::string_view action, const std::vector<BlockInfo>& blocks) {
  std::string out;
  for (const Effect& effect : effects(parse_action(action), blocks)) {
    if (!out.empty()) out += ", ";
    out.append(name(effect.access)).append(" ").append(to_string(effect.value));
  }
  return out;
}

TEST(Effects, Table) {
  const std::map<std::string, std::string> table{
      {"begin", "updates scalars"},
      {"forward 0 mb=1 save", "reads weight 0, reads packed 0, creates x 1 mb=1"},
      {"forward 2 mb=1 save",
       "reads x 2 mb=1, reads weight 2, reads packed 2, creates x 3 mb=1, creates saved_input 2 mb=1, "
       "creates "
       "saved_weight 2 mb=1"},
      {"forward 2 mb=1 discard", "reads x 2 mb=1, reads weight 2, reads packed 2, creates x 3 mb=1"},
      {"recompute 2 mb=1",
       "reads x 2 mb=1, reads weight 2, reads packed 2, creates saved_input 2 mb=1, creates saved_weight 2 "
       "mb=1"},
      {"backward_input 2 mb=1",
       "reads dx 3 mb=1, reads x 2 mb=1, reads saved_input 2 mb=1, reads saved_weight 2 mb=1, reads weight "
       "2, reads "
       "packed 2, creates dx 2 mb=1, creates deferred 2 mb=1"},
      {"backward_weight 2 mb=1 overwrite",
       "reads dx 3 mb=1, reads x 2 mb=1, reads saved_weight 2 mb=1, reads deferred 2 mb=1, creates grad 2"},
      {"backward_weight 0 mb=1 accumulate", "reads dx 1 mb=1, accumulates into grad 0"},
      {"loss 3 mb=0 overwrite",
       "reads x 3 mb=0, reads weight 3, reads packed 3, reads weight 0, reads packed 0, creates dx 3 mb=0, "
       "creates "
       "grad 3, creates grad 0, updates scalars"},
      {"loss_only 3 mb=0",
       "reads x 3 mb=0, reads weight 3, reads packed 3, reads weight 0, reads packed 0, updates scalars"},
      {"norm 2", "reads grad 2, updates scalars"},
      {"clip", "updates scalars"},
      {"update 2", "reads scalars, reads grad 2, updates weight 2, updates master 2, updates moments 2"},
      {"pack 2", "reads weight 2, updates packed 2"},
      {"gather 1", "reads weight 1 level=1, creates weight 1"},
      {"pack 1", "reads weight 1, creates packed 1"},
      {"update 1",
       "reads scalars, reads grad 1 level=3, updates weight 1 level=1, updates master 1 level=3, updates "
       "moments 1 level=3"},
      {"spread 1", "updates weight 1 level=1"},
      {"backward_weight 1 mb=3 slot=3 overwrite",
       "reads dx 2 mb=3, reads x 1 mb=3, reads saved_weight 1 mb=3, reads deferred 1 mb=3, creates grad 1 "
       "mb=3"},
      {"reduce 1 level=0 to=2 slot=3 overwrite", "reads grad 1 mb=3, creates grad 1 mb=3 level=2"},
      {"reduce 1 level=0 to=2 accumulate", "reads grad 1, accumulates into grad 1 level=2"},
      {"reduce 1 level=3 to=3 accumulate", "updates grad 1 level=3"},
      {"fold 1 slot=2 with=3", "accumulates into grad 1 mb=2 level=2, reads grad 1 mb=3 level=2"},
      {"complete 1", "updates grad 1 level=3"},
      {"norm 1", "reads grad 1 level=3, updates scalars"},
      {"tie 1 peer=2", "updates grad 1 level=3"},
      {"tie 1", "updates grad 1 level=3, updates grad 2"},
      {"send x 2 mb=1 peer=1", "reads x 2 mb=1"},
      {"receive dx 2 mb=1 peer=1", "creates dx 2 mb=1"},
      {"total", "updates scalars"},
      {"free deferred 2 mb=1", "frees deferred 2 mb=1"},
      {"load moments 1 level=3 from=nvme onto=device",
       "reads moments 1 tier=nvme level=3, creates moments 1 level=3"},
      {"store moments 1 level=3 from=device onto=nvme",
       "reads moments 1 level=3, updates moments 1 tier=nvme level=3, accumulates into map tier=nvme"},
      {"store moments 1 level=3 from=device onto=host",
       "reads moments 1 level=3, creates moments 1 tier=host level=3"},
      {"store x 2 mb=1 from=device onto=host", "reads x 2 mb=1, creates x 2 mb=1 tier=host"},
      {"commit", "updates map tier=nvme"},
  };
  std::set<std::string_view> kinds;
  for (const auto& [action, expected] : table) {
    EXPECT_EQ(text(action, model_with_twins()), expected) << action;
    kinds.insert(name(parse_action(action).kind));
  }
  EXPECT_EQ(kinds.size(), static_cast<size_t>(kNumKinds)) << "a kind without a row";
}

TEST(Effects, ValuesThatDoNotExistAreLeftOut) {
  auto blocks = model_with_twins();
  blocks[2] = {.has_parameters = false,
               .trainable = false,
               .packed = false,
               .saves_input = false,
               .saves_weight = true,
               .defers = false};
  EXPECT_EQ(text("forward 2 mb=0 save", blocks),
            "reads x 2 mb=0, creates x 3 mb=0, creates saved_weight 2 mb=0");
  EXPECT_EQ(text("backward_input 2 mb=0", blocks),
            "reads dx 3 mb=0, reads x 2 mb=0, reads saved_weight 2 mb=0, creates dx 2 mb=0");
  blocks[0].trainable = blocks[0].packed = false;
  EXPECT_EQ(text("loss 3 mb=1 accumulate", blocks),
            "reads x 3 mb=1, reads weight 3, reads packed 3, reads weight 0, creates dx 3 mb=1, accumulates "
            "into grad "
            "3, updates scalars");
}

TEST(Effects, NoValueTwice) {
  random_programs::Random random(2);
  for (int i = 0; i < 50; ++i) {
    const Program program = random_programs::training(random);
    for (const Action& action : program.list) {
      std::set<uint64_t> seen;
      for (const Effect& effect : effects(action, program.blocks))
        ASSERT_TRUE(seen.insert(key(effect.value)).second) << to_string(action);
    }
  }
}

TEST(Effects, BlockOutsideTheModelIsNamed) {
  try {
    effects(parse_action("norm 4"), model_with_twins());
    FAIL();
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[effects] `norm 4` in a model of 4 blocks");
  }
}

}  // namespace
}  // namespace strata
