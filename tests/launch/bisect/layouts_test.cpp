// SPDX-License-Identifier: Apache-2.0
// Layouts that are right agree with one rank in every value of two steps, and records that real runs wrote
// say the same.
#include "launch/cli.h"
#include "launch/train/trainer.h"
#include "parallel/comm/thread_world.h"
#include "tests/launch/bisect/bisect_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

TEST_F(BisectRun, LayoutsAgreeWithOneRank) {
  const std::vector<Overrides> layouts = {
      {"parallel.dp=2"},
      {"parallel.dp=4", "parallel.partition=zero3"},
      {"parallel.dp=4", "parallel.partition=2/2/2"},
      {"parallel.pp=2"},
      {"parallel.pp=2", "parallel.schedule=interleaved", "parallel.virtual_stages=2"},
      {"parallel.pp=4", "parallel.schedule=zb-h1"},
      {"parallel.tp=2"},
      {"parallel.tp=2", "parallel.sequence_parallel=true"},
      {"parallel.cp=2"},
      {"parallel.dp=2", "parallel.pp=2", "parallel.tp=2", "parallel.sequence_parallel=true"},
      {"parallel.cp=2", "parallel.tp=2", "parallel.sequence_parallel=true", "parallel.partition=zero2"},
      {"batch.micro_batch=2", "parallel.recompute=full", "parallel.dp=2"},
  };
  for (const char* arch : {"model.arch=llama", "model.arch=gpt2"}) {
    const Record one = record_run(load_config(config(), {arch}), {.steps = 2}).record;
    for (Overrides overrides : layouts) {
      overrides.push_back(arch);
      const Record many = record_run(load_config(config(), overrides), {.steps = 2}).record;
      const double tolerance = default_tolerance(one.header, many.header);
      EXPECT_EQ(tolerance, 1e-5);
      const Comparison comparison = compare(one, many, tolerance);
      EXPECT_FALSE(comparison.first) << to_text(
          {.a = one.header, .b = many.header, .tolerance = tolerance, .comparison = comparison});
      EXPECT_LT(comparison.closest, 0.6)
          << to_text({.a = one.header, .b = many.header, .tolerance = tolerance, .comparison = comparison});
      EXPECT_GT(comparison.compared, 500);
    }
  }
}

// In ordered mode nothing needs a tolerance.
TEST_F(BisectRun, OrderedLayoutsAgreeToTheBit) {
  for (Overrides overrides : {Overrides{"parallel.dp=4", "parallel.partition=zero3"},
                              Overrides{"parallel.pp=2", "parallel.dp=2"}}) {
    overrides.push_back("run.mode=ordered");
    const Bisection result = bisect(side({"run.mode=ordered"}), side(overrides), {.steps = 2});
    EXPECT_EQ(result.tolerance, 0);
    EXPECT_FALSE(result.comparison.first) << to_text(result);
    EXPECT_THAT(to_text(result), HasSubstr("agree to the bit"));
  }
}

// What only looks alike is told apart: without its tolerance the same pair differs, in its bits alone.
TEST_F(BisectRun, ReorderedSumsDifferInTheirBits) {
  const Bisection result = bisect(side(), side({"parallel.tp=2"}), {.tolerance = 0.0});
  ASSERT_TRUE(result.comparison.first);
  EXPECT_EQ(result.comparison.first->key, (RecordKey{1, Quantity::output, 1, 0, ""}));
  ASSERT_TRUE(result.close);
  EXPECT_GT(result.close->distance, 0);
  EXPECT_LT(result.close->distance, 1e-6 * result.close->norm);
  EXPECT_TRUE(result.close->repeats);
}

TEST_F(BisectRun, RecordsOfRealRunsCompare) {
  const auto record = [&](const std::string& name, Overrides overrides, int ranks) {
    overrides.insert(overrides.end(),
                     {"run.steps=3", "run.out=" + path("out-" + name), "log.record=" + path(name)});
    const LoadedConfig loaded = load_config(config(), overrides);
    run_ranks(ranks, [&](World& world) {
      FlightRecorder recorder;
      train(loaded, job_of(world, recorder));
    });
  };
  testing::internal::CaptureStdout();
  record("one", {}, 1);
  record("four", {"parallel.pp=2", "parallel.dp=2"}, 4);
  record("seed", {"run.seed=7"}, 1);
  testing::internal::GetCapturedStdout();

  const BisectSide one{path("one"), {}, {}}, four{path("four"), {}, {}}, seed{path("seed"), {}, {}};
  const Bisection layouts = bisect(one, four);
  EXPECT_FALSE(layouts.comparison.first) << to_text(layouts);
  EXPECT_EQ(layouts.comparison.steps, 3);
  // A file holds what a run of its configuration gives.
  const Bisection itself = bisect(one, side({"run.steps=3"}), {.steps = 3});
  EXPECT_EQ(itself.tolerance, 0);
  EXPECT_EQ(itself.comparison.steps, 3);
  EXPECT_FALSE(itself.comparison.first) << to_text(itself);
  // Another seed shuffles other data first.
  const Bisection seeds = bisect(one, seed);
  ASSERT_TRUE(seeds.comparison.first);
  EXPECT_EQ(seeds.comparison.first->key, (RecordKey{1, Quantity::token, -1, 0, ""}));
  EXPECT_FALSE(seeds.close);
}

TEST_F(BisectRun, ARecordIsNotWrittenOverAnotherFile) {
  const LoadedConfig loaded = load_config(config(), {"log.record=" + path("text.txt")});
  testing::internal::CaptureStdout();
  EXPECT_THROW(train(loaded), Error);
  testing::internal::GetCapturedStdout();
  EXPECT_GT(std::filesystem::file_size(path("text.txt")), 100U);
}

TEST_F(BisectRun, TheCommandAnswersWithItsExitCode) {
  const auto run = [&](Overrides words) {
    words.insert(words.begin(), {"bisect", config()});
    testing::internal::CaptureStdout();
    const int code = run_command_line(words);
    return std::pair(code, testing::internal::GetCapturedStdout());
  };
  const auto [equal, equal_text] = run({"--b", "parallel.dp=2", "parallel.pp=2"});
  EXPECT_EQ(equal, 0) << equal_text;
  EXPECT_THAT(equal_text, HasSubstr("equal: "));
  const auto [other, text] = run({config(), "--a", "data.packing=isolated", "--b", "optimizer.lr=1e-2"});
  EXPECT_EQ(other, 1);
  EXPECT_THAT(text, HasSubstr("first difference: step 1, update of embedding (block 0): weight "));
  EXPECT_THROW(bisect(side(), side({"model.layers=2"})), Error);
  EXPECT_THROW(bisect(side(), {path("missing.toml"), {}, {}}), Error);
}

}  // namespace
}  // namespace strata
