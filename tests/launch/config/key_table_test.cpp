// SPDX-License-Identifier: Apache-2.0
// Walks the table: every row is documented, bound to a member of its own, and consistent with its default.
#include "launch/config/key_table.h"

#include <gmock/gmock.h>

#include <set>

#include "core/base/suggest.h"
#include "launch/config/fingerprint.h"
#include "launch/config/print.h"
#include "launch/config/refused.h"
#include "tests/launch/config/sample_config.h"

namespace strata::test {
namespace {

// A value of the key's kind and range that is not its present one; every kind is listed, a single choice has
// none.
std::optional<KeyValue> another_value(const Key& key, const Config& config) {
  const KeyValue now = key.get(config);
  const auto moved = [&](double x) {
    for (const double y : {x + 1, x / 2 + 0.25, x / 2})
      if (key.traits.range.contains(y) && y != x) return y;
    ADD_FAILURE() << key.path;
    return x;
  };
  switch (key.kind) {
    case KeyKind::boolean:
      return !std::get<bool>(now);
    case KeyKind::integer:
      return std::get<int64_t>(now) + 1;
    case KeyKind::number:
      return moved(std::get<double>(now));
    case KeyKind::text:
      return std::get<std::string>(now) + "x";
    case KeyKind::texts:
      return std::vector<std::string>{"other"};
    case KeyKind::numbers:
      return std::vector<double>(std::max<size_t>(1, key.list_length), 0.125);
    case KeyKind::period:
      return Period{.steps = 0, .seconds = 77};
    case KeyKind::number_or_off:
      return std::holds_alternative<Off>(now) ? KeyValue(3.0) : KeyValue(Off{});
    case KeyKind::choice:
      for (const std::string_view choice : key.traits.choices)
        if (KeyValue(std::string(choice)) != now) return std::string(choice);
      return std::nullopt;
  }
  return std::nullopt;
}

TEST(KeyTable, EveryRowIsDocumentedAndItsDefaultIsAccepted) {
  std::set<std::string> names;
  for (const Key& key : key_table().keys()) {
    EXPECT_TRUE(names.insert(key.path).second) << key.path << " is there twice";
    EXPECT_GT(key.traits.doc.size(), 8u) << key.path;
    EXPECT_EQ(key.traits.doc.back(), '.') << key.path;
    EXPECT_FALSE(accepted(key).empty()) << key.path;
    const std::string why = refusal(key, key.get(Config{}));
    EXPECT_EQ(why.empty(), !key.traits.required) << key.path << ": " << why;
  }
}

TEST(KeyTable, AliasesAndRefusedNamesNameOneKey) {
  std::set<std::string_view> aliases;
  for (const Key& key : key_table().keys()) {
    EXPECT_EQ(refused_key(key.path), nullptr) << key.path << " exists and is refused";
    for (const std::string_view alias : key.traits.aliases) {
      EXPECT_TRUE(aliases.insert(alias).second) << alias << " stands for two keys";
      EXPECT_EQ(alias.find_first_of("-."), std::string_view::npos) << alias;
      EXPECT_EQ(refused_key(alias), nullptr) << alias;
      EXPECT_EQ(key_table().by_alias(alias), &key);
    }
  }
}

// Setting one key changes that key and no other: no two rows share a member and no getter reads another's.
TEST(KeyTable, EveryRowIsBoundToAMemberOfItsOwn) {
  for (const Key& key : key_table().keys()) {
    Config config;
    const auto value = another_value(key, config);
    if (!value) continue;
    key.set(config, *value);
    for (const Key& other : key_table().keys())
      EXPECT_EQ(other.get(config) != other.get(Config{}), other.path == key.path)
          << key.path << " and " << other.path;
    EXPECT_EQ(key.get(config), *value) << key.path;
  }
}

TEST(KeyTable, EveryChoiceOfAnEnumIsAnotherEnumerator) {
  for (const Key& key : key_table().keys())
    for (const std::string_view choice : key.traits.choices) {
      Config config;
      key.set(config, std::string(choice));
      EXPECT_EQ(key.get(config), KeyValue(std::string(choice))) << key.path;
    }
  // The order of names and enumerators, spelled out once.
  const Config config =
      load(kGood, {"run.device=cuda", "data.packing=concat", "data.document=blank_line",
                   "model.rope_scaling=llama3", "precision.compute=bf16", "precision.state=split",
                   "parallel.recompute=full", "guard.nan=skip", "optimizer.timing=sync"})
          .config;
  EXPECT_EQ(config.run.device, DeviceChoice::cuda);
  EXPECT_EQ(config.data.packing, Packing::concat);
  EXPECT_EQ(config.data.document, DocumentEnd::blank_line);
  EXPECT_EQ(config.model.rope_scaling, RopeScalingKind::llama3);
  EXPECT_EQ(config.precision.compute, ComputeType::bf16);
  EXPECT_EQ(config.precision.state, StateFormat::split);
  EXPECT_EQ(config.parallel.recompute, Recompute::full);
  EXPECT_EQ(config.guard.nan, NanAction::skip);
  EXPECT_EQ(config.optimizer.timing, UpdateTiming::sync);
  EXPECT_EQ(load(kGood).config.run.device, DeviceChoice::automatic);
}

TEST(KeyTable, ConditionsNameKeysAndChoicesThatExist) {
  for (const Key& key : key_table().keys()) {
    const OnlyWhen& condition = key.traits.only_when;
    if (condition.sibling.empty()) continue;
    const Key* sibling = key_table().find(std::string(key.section) + "." + std::string(condition.sibling));
    ASSERT_NE(sibling, nullptr) << key.path;
    for (const std::string_view value : condition.values)
      EXPECT_THAT(sibling->traits.choices, testing::Contains(value)) << key.path;
  }
}

TEST(KeyTable, ReferencePageAndHelpShowEveryKey) {
  const std::string page = key_reference(), help = key_help();
  for (const Key& key : key_table().keys()) {
    EXPECT_THAT(page, testing::HasSubstr("| `" + std::string(key.name) + "` |"));
    EXPECT_THAT(page, testing::HasSubstr(std::string(key.traits.doc)));
    EXPECT_THAT(help, testing::HasSubstr("  " + key.path + " = "));
  }
  EXPECT_THAT(key_reference("schedule"), testing::AllOf(testing::StartsWith("## [schedule]"),
                                                        testing::Not(testing::HasSubstr("## [run]"))));
}

TEST(Fingerprint, ChangesExactlyWithTheKeysThatChangeTheResult) {
  const Config base = load(kGood).config;
  const std::set<std::string> execution = {"run.name",
                                           "run.out",
                                           "run.steps",
                                           "run.device",
                                           "run.threads",
                                           "batch.micro_batch",
                                           "optimizer.timing",
                                           "parallel.recompute",
                                           "checkpoint.every",
                                           "checkpoint.keep",
                                           "checkpoint.resume",
                                           "checkpoint.allow_missing",
                                           "checkpoint.reinit",
                                           "checkpoint.ignore_extra",
                                           "checkpoint.rename",
                                           "eval.every",
                                           "eval.tokens",
                                           "log.every",
                                           "log.tensorboard",
                                           "log.trace_steps",
                                           "log.record",
                                           "precision.counters",
                                           "precision.gather",
                                           "parallel.tp",
                                           "parallel.pp",
                                           "parallel.cp",
                                           "parallel.dp",
                                           "parallel.sequence_parallel",
                                           "parallel.schedule",
                                           "parallel.virtual_stages",
                                           "parallel.partition",
                                           "parallel.gather_ahead",
                                           "guard.stall_timeout",
                                           "run.program"};
  for (const Key& key : key_table().keys()) {
    Config other = base;
    const auto value = another_value(key, other);
    if (!value) continue;
    key.set(other, *value);
    // Where state lives is the same run, whatever the section comes to hold; groups may order sums otherwise,
    // and codes round.
    const bool same_run =
        execution.contains(key.path) ||
        (key.section == "offload" && key.path != "offload.group" && key.path != "offload.activations_format");
    EXPECT_EQ(fingerprint(other) == fingerprint(base), same_run) << key.path;
    EXPECT_EQ(differences(base, other).empty(), same_run) << key.path;
  }
  Config other = base;
  other.optimizer.lr = 1e-3;
  EXPECT_THAT(differences(base, other), testing::ElementsAre("optimizer.lr: 0.0003 there, 0.001 here"));
}

}  // namespace
}  // namespace strata::test
