// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/match_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace strata {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::vector<TensorSpec> kStored{{.name = "embedding", .shape = {10, 4}},
                                      {.name = "embedding", .state = "m", .shape = {10, 4}},
                                      {.name = "layers.0.up", .shape = {4, 4}},
                                      {.name = "layers.0.old", .shape = {2}},
                                      {.name = "layers.1.old", .shape = {2}}};
const std::vector<TensorSpec> kWanted{
    {.name = "embedding", .shape = {12, 4}},
    {.name = "embedding", .state = "m", .type = ElementType::bf16, .shape = {10, 4}},
    {.name = "layers.0.up", .shape = {4, 4}},
    {.name = "layers.0.new", .shape = {2}},
    {.name = "head", .shape = {10, 4}}};

std::string refusal(const std::vector<TensorSpec>& wanted, const RestoreRules& rules) {
  try {
    match_tensors(wanted, kStored, rules, "there");
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::model);
    return error.what();
  }
}

TEST(MatchTensorsTest, EveryDifferenceIsListed) {
  EXPECT_THAT(
      refusal(kWanted, {}),
      AllOf(HasSubstr("6 differences"), HasSubstr("missing    layers.0.new"), HasSubstr("missing    head"),
            HasSubstr("different  embedding (param) f32 [12, 4]: stored as f32 [10, 4]"),
            HasSubstr("different  embedding (m) bf16 [10, 4]: stored as f32 [10, 4]"),
            HasSubstr("extra      layers.0.old"), HasSubstr("extra      layers.1.old"),
            Not(HasSubstr("layers.0.up"))));
  EXPECT_EQ(refusal(kStored, {}), "");
}

TEST(MatchTensorsTest, RulesLetThroughWhatTheyName) {
  const TensorMatch match = match_tensors(kWanted, kStored,
                                          {.rename = {{"layers.0.new", "layers.0.old"}},
                                           .allow_missing = {"head"},
                                           .reinit = {"embedding"},
                                           .ignore_extra = {"layers.1.*"}},
                                          "there");
  using testing::Optional;
  EXPECT_THAT(match.stored,
              ElementsAre(std::nullopt, std::nullopt, Optional(2u), Optional(3u), std::nullopt));
  EXPECT_EQ(match.kept.size(), 3u);
  EXPECT_THAT(match.ignored, ElementsAre(HasSubstr("layers.1.old")));
}

TEST(MatchTensorsTest, RulesThatApplyToNothingAreFaults) {
  EXPECT_THAT(refusal(kStored, {.rename = {{"nobody", "embedding"}}}), HasSubstr("rename 'nobody'"));
  EXPECT_THAT(refusal(kStored, {.allow_missing = {"embedding"}}), HasSubstr("allow-missing 'embedding'"));
  EXPECT_THAT(refusal(kStored, {.reinit = {"embed"}}), HasSubstr("reinit 'embed'"));
  EXPECT_THAT(refusal(kStored, {.ignore_extra = {"x*"}}), HasSubstr("ignore-extra 'x*'"));
}

}  // namespace
}  // namespace strata
