// SPDX-License-Identifier: Apache-2.0
// The comparisons have teeth: a job that does one thing wrong does not pass as one rank.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>

#include "core/nn/embedding_block.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

struct Sabotage {
  const char* what;
  StepLayout layout;
  Alteration alteration;
};

using Operation = decltype(Alteration::operation);

// All cuts of a partition are "shards".
bool is_for(const GroupSpec& spec, std::string_view purpose) {
  return purpose == "shards" ? spec.purpose.starts_with(purpose) : spec.purpose == purpose;
}

// Of the communicators of this purpose and kind of operation; the others run as they are.
Operation on(std::string purpose, CollectiveKind kind,
             std::function<void(const GroupSpec&, const Collective&, const std::function<void()>&)> wrong) {
  return [=](const GroupSpec& spec, const Collective& op, const std::function<void()>& run) {
    if (!is_for(spec, purpose) || op.kind != kind) return run();
    wrong(spec, op, run);
  };
}

// Everybody keeps its addend for the sum.
Operation drop_sum(const char* purpose) {
  return on(purpose, CollectiveKind::all_reduce, [](const auto&, const auto&, const auto&) {});
}

// What arrives from a neighbour is lost.
Operation lose_messages(const char* purpose, int64_t only_bytes = 0) {
  return on(purpose, CollectiveKind::exchange, [=](const auto&, const Collective& op, const auto& run) {
    run();
    for (const Message& message : op.receives)
      if (only_bytes == 0 || message.tensor.bytes() == only_bytes)
        std::memset(message.tensor.raw(), 0, static_cast<size_t>(message.tensor.bytes()));
  });
}

// Shards are put together one place off.
Operation shift_shards() {
  return on("shards", CollectiveKind::all_gather,
            [](const GroupSpec&, const Collective& op, const auto& run) {
              run();
              auto* const bytes = op.to.raw();
              std::rotate(bytes, bytes + op.from.bytes(), bytes + op.to.bytes());
            });
}

void swap_members(GroupSpec& spec, const char* purpose, size_t a, size_t b) {
  if (is_for(spec, purpose) && spec.members.size() > std::max(a, b))
    std::swap(spec.members[a], spec.members[b]);
}

std::vector<Sabotage> sabotages() {
  return {
      {"gradients are not summed over replicas", {.mesh = {.dp = 2}}, {.operation = drop_sum("replicas")}},
      {"gradients of norms are not summed over the tensor axis",
       {.mesh = {.tp = 2}, .sequence = true},
       {.operation = drop_sum("tensor gradients")}},
      {"products are not summed over the tensor axis",
       {.mesh = {.tp = 2}},
       {.operation = drop_sum("tensor")}},
      {"losses and norms are not added up", {.mesh = {.dp = 2}}, {.operation = drop_sum("all")}},
      {"targets are not counted over data ranks", {.mesh = {.dp = 2}}, {.operation = drop_sum("data")}},
      {"gathered weights are one shard off",
       {.mesh = {.dp = 4}, .partition = {4, 4, 4}},
       {.operation = shift_shards()}},
      {"updated weights are one shard off",
       {.mesh = {.dp = 4}, .partition = {1, 1, 4}},
       {.operation = shift_shards()}},
      {"two members of a partition change places",
       {.mesh = {.dp = 4}, .partition = {4, 4, 4}},
       {.group = [](GroupSpec& spec) { swap_members(spec, "shards", 1, 2); }}},
      {"activations of the stage before are lost",
       {.mesh = {.pp = 2}},
       {.operation = lose_messages("pipeline")}},
      {"keys and values of other ranks are lost",
       {.mesh = {.cp = 2}},
       {.operation = lose_messages("context")}},
      {"the two ends of a tied table keep their own gradients",
       {.mesh = {.pp = 2}},
       {.operation = lose_messages("pipeline", padded_vocab(100, 1) * 32 * 4)}},
  };
}

TEST(Sabotage, IsNoticed) {
  const StepRun run{.spec = small_llama(true), .steps = 3};
  const StepOutcome one = run_steps(run, {});
  for (const Sabotage& sabotage : sabotages()) {
    ASSERT_EQ(differences(run_steps(run, sabotage.layout), one, rounds_apart(sabotage.layout)), "")
        << sabotage.what;
    const StepOutcome wrong = run_steps(run, sabotage.layout, sabotage.alteration);
    EXPECT_NE(differences(wrong, one, rounds_apart(sabotage.layout)), "") << sabotage.what;
  }
}

// A sum in another order is no fault but in ordered mode: only the bits tell.
TEST(Sabotage, AnotherOrderOfASumIsSeenInTheBitsAlone) {
  const StepRun run{.spec = small_llama(), .steps = 3};
  const StepOutcome one = run_steps(run, {.tree = true});
  const StepLayout layout{.mesh = {.dp = 4}, .tree = true};
  ASSERT_EQ(different_bits(run_steps(run, layout), one), "");
  const StepOutcome wrong =
      run_steps(run, layout, {.group = [](GroupSpec& spec) { swap_members(spec, "replicas", 1, 2); }});
  EXPECT_NE(different_bits(wrong, one), "");
  EXPECT_EQ(differences(wrong, one, false), "");
}

// One dropped sum of one block in one step.
TEST(Sabotage, OneLostSumIsEnough) {
  const StepRun run{.spec = small_gpt2(), .steps = 3};
  const StepOutcome one = run_steps(run, {});
  for (const int lost : {0, 7, 23}) {
    std::atomic<int> sums = 0;
    const Alteration alteration{
        .operation = on("replicas", CollectiveKind::all_reduce,
                        [&](const GroupSpec&, const Collective&, const std::function<void()>& run) {
                          // Both ranks run the same program: the k-th of one meets the k-th of the
                          // other.
                          thread_local int of_rank = 0;
                          ++sums;
                          if (of_rank++ != lost) run();
                        })};
    EXPECT_NE(differences(run_steps(run, {.mesh = {.dp = 2}}, alteration), one, false), "") << lost;
    EXPECT_GT(sums, 2 * 23);
  }
}

}  // namespace
}  // namespace strata
