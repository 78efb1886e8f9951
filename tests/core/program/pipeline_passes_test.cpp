// SPDX-License-Identifier: Apache-2.0
// The passes for ranks that meet: small programs word for word.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "core/base/check.h"
#include "core/program/meeting.h"
#include "core/program/passes.h"
#include "core/program/simulate.h"
#include "core/program/verify.h"
#include "tests/core/program/plain_blocks.h"
#include "tests/core/program/unit_costs.h"

namespace strata {
namespace {

std::vector<BlockInfo> unpacked_model(int num_blocks) {
  std::vector<BlockInfo> blocks = model(num_blocks);
  for (BlockInfo& block : blocks) block.packed = false;
  return blocks;
}

std::vector<BlockInfo> on_levels(std::vector<BlockInfo> blocks, uint8_t weights, uint8_t gradients,
                                 uint8_t state, bool replicated = false) {
  for (BlockInfo& block : blocks) {
    block.weight_level = weights;
    block.grad_level = gradients;
    block.state_level = state;
    block.replicated = replicated;
  }
  return blocks;
}

// After the pass, without what the others add.
std::string partitioned(std::vector<BlockInfo> blocks, int micro_batches, PartitionOptions options) {
  const int count = static_cast<int>(blocks.size());
  Program program =
      expand_stages(one_stage(micro_batches), {{0, count}}, std::move(blocks), micro_batches, Goal::train);
  partition_pass(std::move(options))(program);
  return lines(program);
}

TEST(PartitionPass, GathersRightBeforeEveryUse) {
  EXPECT_EQ(partitioned(on_levels(unpacked_model(4), 1, 1, 1), 2, {.gather_ahead = 0}),
            R"(begin
gather 0
forward 0 mb=0 save
gather 1
forward 1 mb=0 save
gather 2
forward 2 mb=0 save
gather 3
loss 3 mb=0 overwrite
reduce 3 level=0 to=1 overwrite
gather 2
backward_input 2 mb=0
backward_weight 2 mb=0 overwrite
reduce 2 level=0 to=1 overwrite
gather 1
backward_input 1 mb=0
backward_weight 1 mb=0 overwrite
reduce 1 level=0 to=1 overwrite
backward_weight 0 mb=0 overwrite
reduce 0 level=0 to=1 overwrite
gather 0
forward 0 mb=1 save
gather 1
forward 1 mb=1 save
gather 2
forward 2 mb=1 save
gather 3
loss 3 mb=1 overwrite
reduce 3 level=0 to=1 accumulate
gather 2
backward_input 2 mb=1
backward_weight 2 mb=1 overwrite
reduce 2 level=0 to=1 accumulate
gather 1
backward_input 1 mb=1
backward_weight 1 mb=1 overwrite
reduce 1 level=0 to=1 accumulate
backward_weight 0 mb=1 overwrite
reduce 0 level=0 to=1 accumulate
)");
}

// What would be gathered again as soon as it had gone stays: block 2 over the head, block 1 over the next
// micro-batch's embedding.
TEST(PartitionPass, GathersOneAhead) {
  EXPECT_EQ(partitioned(on_levels(unpacked_model(4), 1, 1, 1), 2, {.gather_ahead = 1}),
            R"(begin
gather 0
gather 1
forward 0 mb=0 save
gather 2
forward 1 mb=0 save
gather 3
forward 2 mb=0 save
gather 1
loss 3 mb=0 overwrite
reduce 3 level=0 to=1 overwrite
backward_input 2 mb=0
backward_weight 2 mb=0 overwrite
reduce 2 level=0 to=1 overwrite
gather 0
backward_input 1 mb=0
backward_weight 1 mb=0 overwrite
reduce 1 level=0 to=1 overwrite
backward_weight 0 mb=0 overwrite
reduce 0 level=0 to=1 overwrite
gather 2
forward 0 mb=1 save
forward 1 mb=1 save
gather 3
forward 2 mb=1 save
gather 1
loss 3 mb=1 overwrite
reduce 3 level=0 to=1 accumulate
backward_input 2 mb=1
backward_weight 2 mb=1 overwrite
reduce 2 level=0 to=1 accumulate
backward_input 1 mb=1
backward_weight 1 mb=1 overwrite
reduce 1 level=0 to=1 accumulate
backward_weight 0 mb=1 overwrite
reduce 0 level=0 to=1 accumulate
)");
}

// A model this small is then gathered whole: nothing ever goes.
TEST(PartitionPass, GathersTwoAhead) {
  EXPECT_EQ(partitioned(on_levels(unpacked_model(4), 1, 1, 1), 1, {.gather_ahead = 2}),
            R"(begin
gather 0
gather 1
gather 2
forward 0 mb=0 save
gather 3
forward 1 mb=0 save
forward 2 mb=0 save
loss 3 mb=0 overwrite
reduce 3 level=0 to=1 overwrite
backward_input 2 mb=0
backward_weight 2 mb=0 overwrite
reduce 2 level=0 to=1 overwrite
backward_input 1 mb=0
backward_weight 1 mb=0 overwrite
reduce 1 level=0 to=1 overwrite
backward_weight 0 mb=0 overwrite
reduce 0 level=0 to=1 overwrite
)");
}

TEST(PartitionPass, PacksWhatWasGathered) {
  auto blocks = on_levels(unpacked_model(3), 1, 0, 1);
  blocks[1].packed = true;
  EXPECT_EQ(partitioned(blocks, 1, {.gather_ahead = 1}),
            R"(begin
gather 0
gather 1
forward 0 mb=0 save
pack 1
gather 2
forward 1 mb=0 save
loss 2 mb=0 overwrite
reduce 2 level=0 to=1 overwrite
backward_input 1 mb=0
backward_weight 1 mb=0 overwrite
reduce 1 level=0 to=1 overwrite
backward_weight 0 mb=0 overwrite
reduce 0 level=0 to=1 overwrite
)");
}

// Into the gradients' shards with every micro-batch, from there to the state's once, over the replicas, and
// over the tensor axis where a block asks for it.
TEST(PartitionPass, GradientsTravelLevelByLevel) {
  auto blocks = on_levels(unpacked_model(2), 0, 1, 2, true);
  blocks[0].partial = true;
  EXPECT_EQ(partitioned(blocks, 2, {}),
            R"(begin
forward 0 mb=0 save
loss 1 mb=0 overwrite
reduce 1 level=0 to=1 overwrite
backward_weight 0 mb=0 overwrite
reduce 0 level=0 to=1 overwrite
forward 0 mb=1 save
loss 1 mb=1 overwrite
reduce 1 level=0 to=1 accumulate
reduce 1 level=1 to=2 overwrite
reduce 1 level=2 to=2 accumulate
backward_weight 0 mb=1 overwrite
reduce 0 level=0 to=1 accumulate
reduce 0 level=1 to=2 overwrite
reduce 0 level=2 to=2 accumulate
complete 0
)");
}

// Sums of 1, 2 and 4 micro-batches are kept until their neighbour is there.
TEST(PartitionPass, TreesFoldAsABinaryCounter) {
  EXPECT_EQ(partitioned(on_levels(unpacked_model(2), 0, 0, 1), 8, {.order = SumOrder::tree}),
            R"(begin
forward 0 mb=0 save
loss 1 mb=0 overwrite
backward_weight 0 mb=0 overwrite
forward 0 mb=1 save
loss 1 mb=1 slot=1 overwrite
fold 1 with=1
backward_weight 0 mb=1 slot=1 overwrite
fold 0 with=1
forward 0 mb=2 save
loss 1 mb=2 slot=2 overwrite
backward_weight 0 mb=2 slot=2 overwrite
forward 0 mb=3 save
loss 1 mb=3 slot=3 overwrite
fold 1 slot=2 with=3
fold 1 with=2
backward_weight 0 mb=3 slot=3 overwrite
fold 0 slot=2 with=3
fold 0 with=2
forward 0 mb=4 save
loss 1 mb=4 slot=4 overwrite
backward_weight 0 mb=4 slot=4 overwrite
forward 0 mb=5 save
loss 1 mb=5 slot=5 overwrite
fold 1 slot=4 with=5
backward_weight 0 mb=5 slot=5 overwrite
fold 0 slot=4 with=5
forward 0 mb=6 save
loss 1 mb=6 slot=6 overwrite
backward_weight 0 mb=6 slot=6 overwrite
forward 0 mb=7 save
loss 1 mb=7 slot=7 overwrite
fold 1 slot=6 with=7
fold 1 slot=4 with=6
fold 1 with=4
reduce 1 level=0 to=1 overwrite
backward_weight 0 mb=7 slot=7 overwrite
fold 0 slot=6 with=7
fold 0 slot=4 with=6
fold 0 with=4
reduce 0 level=0 to=1 overwrite
)");
  EXPECT_THROW(partitioned(on_levels(unpacked_model(2), 0, 0, 1), 6, {.order = SumOrder::tree}),
               ContractError);
}

// A grid's cells and the messages between its stages, of one rank.
std::string exchanged(std::vector<BlockInfo> blocks, const Grid& grid, const std::vector<Stage>& stages,
                      const std::vector<int>& rank_of_stage, int rank) {
  for (size_t s = 0; s < stages.size(); ++s)
    for (int b = stages[s].begin; b < stages[s].end; ++b)
      blocks[static_cast<size_t>(b)].here = rank_of_stage[s] == rank;
  Program program = expand_stages(grid, stages, std::move(blocks), 1, Goal::train);
  exchange_pass(stages, rank_of_stage, rank)(program);
  return lines(program);
}

TEST(ExchangePass, ReceivesRightBeforeTheUseAndSendsRightBehindTheMaking) {
  const std::vector<Stage> stages{{0, 2}, {2, 4}};
  const auto split = [](int16_t stage) {
    return Grid{{CellKind::forward, stage, 0},
                {CellKind::backward_input, stage, 0},
                {CellKind::backward_weight, stage, 0}};
  };
  EXPECT_EQ(exchanged(unpacked_model(4), split(0), stages, {0, 1}, 0),
            R"(begin
forward 0 mb=0 save
forward 1 mb=0 save
send x 2 mb=0 peer=1
receive dx 2 mb=0 peer=1
backward_input 1 mb=0
backward_weight 1 mb=0 overwrite
backward_weight 0 mb=0 overwrite
)");
  EXPECT_EQ(exchanged(unpacked_model(4), split(1), stages, {0, 1}, 1),
            R"(begin
receive x 2 mb=0 peer=0
forward 2 mb=0 save
loss 3 mb=0 overwrite
backward_input 2 mb=0
send dx 2 mb=0 peer=0
backward_weight 2 mb=0 overwrite
)");
}

// Stages 1 and 2 share rank 1; what is frozen at the bottom gets no gradient.
TEST(ExchangePass, OnlyBetweenRanksAndOnlyWhatIsWanted) {
  auto blocks = unpacked_model(6);
  blocks[0].trainable = blocks[1].trainable = blocks[2].trainable = false;
  const std::vector<Stage> stages{{0, 2}, {2, 3}, {3, 4}, {4, 6}};
  const std::vector<int> rank_of_stage{0, 1, 1, 0};
  EXPECT_EQ(exchanged(blocks,
                      {{CellKind::forward, 0, 0},
                       {CellKind::forward, 3, 0},
                       {CellKind::backward, 3, 0},
                       {CellKind::backward, 0, 0}},
                      stages, rank_of_stage, 0),
            R"(begin
forward 0 mb=0 discard
forward 1 mb=0 discard
send x 2 mb=0 peer=1
receive x 4 mb=0 peer=1
forward 4 mb=0 save
loss 5 mb=0 overwrite
backward_input 4 mb=0
send dx 4 mb=0 peer=1
backward_weight 4 mb=0 overwrite
)");
  EXPECT_EQ(exchanged(blocks,
                      {{CellKind::forward, 1, 0},
                       {CellKind::forward, 2, 0},
                       {CellKind::backward, 2, 0},
                       {CellKind::backward, 1, 0}},
                      stages, rank_of_stage, 1),
            R"(begin
receive x 2 mb=0 peer=0
forward 2 mb=0 discard
forward 3 mb=0 save
send x 4 mb=0 peer=0
receive dx 4 mb=0 peer=0
backward_input 3 mb=0
backward_weight 3 mb=0 overwrite
)");
}

// 1F1B of two ranks and two micro-batches.
Pipeline two_ranks() {
  return {.grids = {{{CellKind::forward, 0, 0},
                     {CellKind::forward, 0, 1},
                     {CellKind::backward, 0, 0},
                     {CellKind::backward, 0, 1}},
                    {{CellKind::forward, 1, 0},
                     {CellKind::backward, 1, 0},
                     {CellKind::forward, 1, 1},
                     {CellKind::backward, 1, 1}}},
          .stages = {{0, 2}, {2, 4}},
          .rank_of_stage = {0, 1}};
}

std::vector<BlockInfo> twins() {
  auto blocks = unpacked_model(4);
  blocks[0].twin = 3;
  blocks[3].twin = 0;
  return blocks;
}

// Computation keeps its order on each rank; a message stands where both ends can take it: x of micro-batch 1
// when rank 1 has begun its last work on micro-batch 0, behind the gradient that went the other way.
TEST(OrderGlobally, WordForWord) {
  std::vector<Program> job = make_pipeline(twins(), 2, Goal::train, two_ranks(), {.ranks = 2}, UnitCosts());
  for (Program& program : job)
    std::erase_if(program.list, [](const Action& action) { return action.kind == Kind::free; });
  EXPECT_EQ(lines(job[0]),
            R"(begin
forward 0 mb=0 save
forward 1 mb=0 save
send x 2 mb=0 peer=1
forward 0 mb=1 save
forward 1 mb=1 save
receive dx 2 mb=0 peer=1
backward_input 1 mb=0
send x 2 mb=1 peer=1
backward_weight 1 mb=0 overwrite
backward_weight 0 mb=0 overwrite
receive dx 2 mb=1 peer=1
backward_input 1 mb=1
backward_weight 1 mb=1 accumulate
backward_weight 0 mb=1 accumulate
tie 0 peer=1
norm 0
norm 1
total
clip
update 0
update 1
)");
  EXPECT_EQ(lines(job[1]),
            R"(begin
receive x 2 mb=0 peer=0
forward 2 mb=0 save
loss 3 mb=0 overwrite
backward_input 2 mb=0
send dx 2 mb=0 peer=0
backward_weight 2 mb=0 overwrite
receive x 2 mb=1 peer=0
forward 2 mb=1 save
loss 3 mb=1 accumulate
backward_input 2 mb=1
send dx 2 mb=1 peer=0
backward_weight 2 mb=1 accumulate
norm 2
tie 3 peer=0
norm 3
total
clip
update 2
update 3
)");
}

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const ContractError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// Rank 0 finishes micro-batch 0 before it begins 1, rank 1 wants both first.
TEST(OrderGlobally, SaysWhereRanksStandThatCannotEnd) {
  Pipeline wrong = two_ranks();
  std::swap(wrong.grids[0][1], wrong.grids[0][2]);
  std::swap(wrong.grids[1][1], wrong.grids[1][2]);
  const std::string message =
      message_of([&] { make_pipeline(unpacked_model(4), 2, Goal::train, wrong, {.ranks = 2}, UnitCosts()); });
  EXPECT_THAT(message, testing::HasSubstr("[order_globally] the job cannot end: "));
  EXPECT_THAT(message,
              testing::HasSubstr(
                  "rank 0 has not begun action 4 `receive dx 2 mb=0 peer=1`, which waits for another rank"));
  EXPECT_THAT(message,
              testing::HasSubstr(
                  "rank 1 has not begun action 3 `receive x 2 mb=1 peer=0`, which waits for another rank"));
}

// Messages on one lane in an order that the other rank does not share.
TEST(VerifyJobDeadlock, NamesRankLaneActionAndWhomItWaitsFor) {
  std::vector<Program> job =
      make_pipeline(unpacked_model(4), 2, Goal::train, two_ranks(), {.ranks = 2}, UnitCosts());
  std::vector<Action>& list = job[0].list;
  const auto at = [&](const char* text) { return std::find(list.begin(), list.end(), parse_action(text)); };
  // The gradient of micro-batch 0 is waited for before the input it is made from is sent.
  const auto sent = at("send x 2 mb=0 peer=1"), received = at("receive dx 2 mb=0 peer=1");
  ASSERT_LT(sent, received);
  std::rotate(sent, received, received + 1);
  std::vector<LinkedProgram> linked;
  for (Program& program : job) linked.push_back(link(std::move(program), UnitCosts()));
  const std::vector<JobProblem> problems = verify_job(linked);
  ASSERT_EQ(problems.size(), 1u) << explain(linked, problems);
  EXPECT_EQ(problems[0].rank, -1);
  const std::string& text = problems[0].problem.text;
  EXPECT_THAT(text,
              testing::StartsWith("the ranks wait for each other for ever: rank 0 lane compute waits at"));
  EXPECT_THAT(text,
              testing::ContainsRegex(
                  "rank 0 lane communication waits at action [0-9]+ `receive dx 2 mb=0 peer=1` for rank 1"));
  EXPECT_THAT(text,
              testing::ContainsRegex(
                  "rank 1 lane communication waits at action [0-9]+ `receive x 2 mb=0 peer=0` for rank 0"));
  EXPECT_EQ(simulate_job(linked, UnitCosts()).deadlock, text.substr(text.find("rank 0")));
}

TEST(MeetingOf, PairsWhatHappensTogether) {
  const auto meeting = [](const char* text, int rank, int twin = -1) {
    return meeting_of(parse_action(text), rank, 4, twin);
  };
  const auto same = [](const std::optional<Meeting>& a, const std::optional<Meeting>& b) {
    return a && b && a->key == b->key && a->participants == b->participants;
  };
  const auto sent = meeting("send x 2 mb=1 peer=1", 0);
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->participants, 2);
  EXPECT_TRUE(same(sent, meeting("receive x 2 mb=1 peer=0", 1)));
  for (const auto& [other, rank] : {std::pair{"receive x 2 mb=0 peer=0", 1},
                                    {"receive x 3 mb=1 peer=0", 1},
                                    {"receive dx 2 mb=1 peer=0", 1},
                                    {"receive x 2 mb=1 peer=0", 2},
                                    {"send x 2 mb=1 peer=0", 1},
                                    {"receive x 2 mb=1 peer=1", 0}})
    EXPECT_FALSE(same(sent, meeting(other, rank))) << other << " of " << rank;
  // Both ends of a tied table name one meeting; on one rank there is none.
  EXPECT_TRUE(same(meeting("tie 0 peer=3", 0, 7), meeting("tie 7 peer=0", 3, 0)));
  EXPECT_FALSE(same(meeting("tie 0 peer=3", 0, 7), meeting("tie 6 peer=0", 3, 1)));
  EXPECT_FALSE(meeting("tie 0", 0, 7));
  EXPECT_TRUE(same(meeting("total", 0), meeting("total", 3)));
  EXPECT_EQ(meeting("total", 2)->participants, 4);
  for (const char* alone : {"forward 1 mb=0 save", "gather 1", "reduce 1 level=0 to=1 overwrite", "spread 1",
                            "complete 1", "norm 1", "clip"})
    EXPECT_FALSE(meeting(alone, 0)) << alone;
}

// By hand, on two ranks of one inner block each. Rank 0: F 0-1 1-2, backwards 3-5 6-8; rank 1: F 1-2,
// backwards 2-4, F 4-5, backwards 5-7. Gradients leave at 3 and 6, before the weights' own are made.
TEST(SimulateJob, RanksWaitForEachOther) {
  std::vector<LinkedProgram> linked;
  for (Program& program :
       make_pipeline(unpacked_model(4), 2, Goal::train, two_ranks(), {.ranks = 2}, UnitCosts()))
    linked.push_back(link(std::move(program), UnitCosts(), {.budget = {1 << 20}}));
  const JobTimeline job = simulate_job(linked, UnitCosts(), 1);
  EXPECT_EQ(job.deadlock, "");
  EXPECT_DOUBLE_EQ(job.makespan, 8);
  for (const Timeline& rank : job.ranks) {
    EXPECT_DOUBLE_EQ(rank.busy[static_cast<size_t>(Lane::compute)], 6);
    EXPECT_DOUBLE_EQ(rank.bubble(Lane::compute), 2.0 / 8);
  }
  EXPECT_EQ(job.ranks[0].live_peak[0], 2 * UnitCosts::kUnit);
  EXPECT_EQ(job.ranks[1].live_peak[0], 1 * UnitCosts::kUnit);
  // The norm keeps steps apart: two take twice as long.
  EXPECT_DOUBLE_EQ(simulate_job(linked, UnitCosts(), 2).makespan, 16);
  EXPECT_DOUBLE_EQ(simulate_job(linked, UnitCosts(), 2).step_seconds, 8);
}

}  // namespace
}  // namespace strata
