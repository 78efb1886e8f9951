// SPDX-License-Identifier: Apache-2.0
// The verifier against its judge: every spoilt program that comes out wrong is refused, none that comes out
// right is.
#include "core/program/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/program/passes.h"
#include "tests/core/program/judge.h"
#include "tests/core/program/plain_blocks.h"
#include "tests/core/program/random_programs.h"
#include "tests/core/program/schedules.h"

namespace strata {
namespace {

using random_programs::Random;

TEST(Verify, LegalProgramsAreAcceptedAndRight) {
  Random random(3);
  const random_programs::Costs costs;
  for (int i = 0; i < 300; ++i) {
    const Program program =
        i % 5 == 0 ? random_programs::evaluation(random) : random_programs::training(random);
    ASSERT_EQ(judge::judge_list(program, {}), "") << to_string(program);
    ASSERT_EQ(explain(program, verify(program)), "") << to_string(program);
    const LinkedProgram linked = link(
        program, costs,
        {.lane_of = random_programs::lanes(random, random_programs::draw(random, 1, kNumLanes)),
         .budget = {random_programs::chance(random, 50) ? 0 : 64 * random_programs::draw(random, 50, 400)}});
    ASSERT_EQ(explain(program, verify(linked)), "") << to_string(program);
    if (i < 60) {
      ASSERT_EQ(judge::judge_linked(linked, 5, random), "") << to_string(program);
    }
  }
}

// Spoilt lists. Both ways: what the judge calls wrong must be refused, what it calls right must be accepted.
void judge_lists(bool ordered, int count, uint64_t seed) {
  Random random(seed);
  int wrong = 0, right = 0;
  for (int i = 0; i < count; ++i) {
    Program program = i % 8 == 0 ? random_programs::evaluation(random) : random_programs::training(random);
    const std::string what = random_programs::spoil(random, program);
    const std::string verdict =
        judge::judge_list(program, {.order = ordered ? SumOrder::ascending : SumOrder::any});
    const auto problems = verify(program, {.order = ordered ? SumOrder::ascending : SumOrder::any});
    if (verdict.empty()) {
      ++right;
      ASSERT_TRUE(problems.empty()) << "refused but right: " << what << "\n"
                                    << explain(program, problems) << to_string(program);
    } else {
      ++wrong;
      ASSERT_FALSE(problems.empty()) << "accepted but wrong: " << what << "\n"
                                     << verdict << "\n"
                                     << to_string(program);
      ASSERT_FALSE(explain(program, problems).empty());
    }
  }
  // Both verdicts must occur, or this proves nothing.
  EXPECT_GT(wrong, count / 2);
  EXPECT_GT(right, count / 50);
  testing::Test::RecordProperty("wrong", wrong);
  testing::Test::RecordProperty("right", right);
}

TEST(Verify, SpoiltListsInReferenceOrder) { judge_lists(true, 6000, 4); }
TEST(Verify, SpoiltListsInAnyOrder) { judge_lists(false, 6000, 5); }

TEST(Verify, SpoiltLinks) {
  Random random(6);
  const random_programs::Costs costs;
  int wrong = 0, right = 0;
  for (int i = 0; i < 600; ++i) {
    const Program program = random_programs::training(random);
    LinkedProgram linked =
        link(program, costs,
             {.lane_of = random_programs::lanes(random, random_programs::draw(random, 2, kNumLanes)),
              .budget = {random_programs::chance(random, 50) ? 0 : 64 * 400}});
    const auto what = random_programs::spoil(random, linked);
    if (!what) continue;
    const auto problems = verify(linked);
    const std::string verdict = judge::judge_linked(linked, 10, random);
    if (verdict.empty()) {
      ++right;
      ASSERT_TRUE(problems.empty()) << "refused but right: " << *what << "\n"
                                    << explain(program, problems) << to_string(program);
    } else {
      ++wrong;
      ASSERT_FALSE(problems.empty()) << "accepted but wrong: " << *what << "\n"
                                     << verdict << "\n"
                                     << to_string(program);
    }
  }
  EXPECT_GT(wrong, 200);
  EXPECT_GT(right, 3);
  testing::Test::RecordProperty("wrong", wrong);
  testing::Test::RecordProperty("right", right);
}

// An embedding is used once a step: one version it is whatever happens, but it must be the updated one.
TEST(Verify, ADeferredUpdateComesBeforeEveryUse) {
  const StepOptions deferred{.timing = Timing::deferred};
  const std::string good = to_string(make_step(model(3), 1, deferred));
  ASSERT_EQ(explain(parse_program(good), verify(parse_program(good))), "");
  const std::string update = "update 0\n", pack = "pack 0\n", forward = "forward 0 mb=0 save\n";
  std::string late = good;
  for (const std::string& line : {update, pack}) {
    ASSERT_NE(late.find(line), std::string::npos) << good;
    late.erase(late.find(line), line.size());
  }
  late.insert(late.find(forward) + forward.size(), update + pack);
  EXPECT_THAT(explain(parse_program(late), verify(parse_program(late))),
              testing::HasSubstr("reads `weight 0` before the update that the step before has left over"));
  const Program evaluation = make_evaluation(model(3), 1, deferred);
  EXPECT_EQ(explain(evaluation, verify(evaluation)), "");
}

// Whether lanes and messages, each lane in its order, come to an end: tried out step by step, knowing nothing
// of how the verifier walks.
bool comes_to_an_end(const std::vector<LinkedProgram>& programs) {
  struct Lanes {
    std::array<size_t, kNumLanes> done{};
  };
  std::vector<Lanes> at(programs.size());
  const auto next = [&](size_t r, size_t lane) -> const Action* {
    const auto& list = programs[r].lanes[lane];
    if (at[r].done[lane] == list.size()) return nullptr;
    const int32_t position = list[at[r].done[lane]];
    for (const Wait& wait : programs[r].waits_of(position))
      if (!wait.previous_step &&
          at[r].done[static_cast<size_t>(wait.lane)] <= static_cast<size_t>(wait.sequence))
        return nullptr;
    return &programs[r].program.list[static_cast<size_t>(position)];
  };
  for (bool progress = true; progress;) {
    progress = false;
    size_t totals = 0;
    for (size_t r = 0; r < programs.size(); ++r)
      for (size_t lane = 0; lane < kNumLanes; ++lane) {
        const Action* a = next(r, lane);
        if (!a) continue;
        if (a->kind == Kind::total) {
          ++totals;
          continue;
        }
        const bool meets =
            a->kind == Kind::send || a->kind == Kind::receive || (a->kind == Kind::tie && a->peer >= 0);
        if (!meets) {
          ++at[r].done[lane];
          progress = true;
          continue;
        }
        for (size_t other = 0;
             other < kNumLanes && a->peer >= 0 && a->peer < static_cast<int>(programs.size()); ++other) {
          const Action* b = next(static_cast<size_t>(a->peer), other);
          if (!b || b == a || b->peer != static_cast<int>(r) || b->micro_batch != a->micro_batch ||
              b->cls != a->cls)
            continue;
          if (a->kind == Kind::tie ? b->kind != Kind::tie : b->block != a->block || b->kind == a->kind)
            continue;
          ++at[r].done[lane];
          ++at[static_cast<size_t>(a->peer)].done[other];
          progress = true;
          break;
        }
      }
    if (totals == programs.size())
      for (size_t r = 0; r < programs.size(); ++r)
        for (size_t lane = 0; lane < kNumLanes; ++lane)
          if (const Action* a = next(r, lane); a && a->kind == Kind::total)
            ++at[r].done[lane], progress = true;
  }
  for (size_t r = 0; r < programs.size(); ++r)
    for (size_t lane = 0; lane < kNumLanes; ++lane)
      if (at[r].done[lane] != programs[r].lanes[lane].size()) return false;
  return true;
}

std::vector<LinkedProgram> link_all(const std::vector<Program>& programs, const LaneMap& lanes) {
  const random_programs::Costs costs;
  std::vector<LinkedProgram> linked;
  for (const Program& program : programs) linked.push_back(link(program, costs, {.lane_of = lanes}));
  return linked;
}

std::string text_of(const std::vector<Program>& programs) {
  std::string text;
  for (const Program& program : programs) text += to_string(program) + "\n";
  return text;
}

TEST(VerifyJob, LegalJobsAreAcceptedAndRight) {
  Random random(7);
  int several = 0;
  for (int i = 0; i < 300; ++i) {
    const random_programs::Job job = random_programs::job(random);
    several += job.programs.size() > 1 ? 1 : 0;
    ASSERT_EQ(judge::judge_job(job.programs, {.order = job.order}), "") << text_of(job.programs);
    // One lane for everything, one for communication, or any: the global order suits them all.
    const LaneMap lanes = i % 3 == 0   ? LaneMap([](const Action&) { return Lane::compute; })
                          : i % 3 == 1 ? LaneMap(default_lane)
                                       : random_programs::lanes(random, 4);
    const auto linked = link_all(job.programs, lanes);
    ASSERT_EQ(explain(linked, verify_job(linked, {.order = job.order})), "") << text_of(job.programs);
    ASSERT_TRUE(comes_to_an_end(linked)) << text_of(job.programs);
  }
  EXPECT_GT(several, 80);
}

// Two messages of one rank change places: the values may still be right, but the ranks may wait for ever.
std::string swap_messages(Random& random, Program& program) {
  std::vector<size_t> messages;
  for (size_t i = 0; i < program.list.size(); ++i)
    if (program.list[i].kind == Kind::send || program.list[i].kind == Kind::receive) messages.push_back(i);
  if (messages.size() < 2) return random_programs::spoil(random, program);
  const auto pick =
      static_cast<size_t>(random_programs::draw(random, 0, static_cast<int>(messages.size()) - 2));
  std::swap(program.list[messages[pick]], program.list[messages[pick + 1]]);
  return "swap messages " + std::to_string(messages[pick]) + " and " + std::to_string(messages[pick + 1]);
}

TEST(VerifyJob, SpoiltJobs) {
  Random random(8);
  int wrong = 0, right = 0, stuck = 0;
  for (int i = 0; i < 4000; ++i) {
    random_programs::Job job = random_programs::job(random);
    const auto rank =
        static_cast<size_t>(random_programs::draw(random, 0, static_cast<int>(job.programs.size()) - 1));
    const std::string what = "rank " + std::to_string(rank) + ": " +
                             (i % 5 == 0 ? swap_messages(random, job.programs[rank])
                                         : random_programs::spoil(random, job.programs[rank]));
    const std::string verdict = judge::judge_job(job.programs, {.order = job.order});
    std::vector<LinkedProgram> linked;
    try {
      linked = link_all(job.programs, default_lane);
    } catch (const ContractError& error) {
      ASSERT_FALSE(verdict.empty()) << "not linked but right: " << what << "\n"
                                    << error.what() << text_of(job.programs);
      ++wrong;
      continue;
    }
    const auto problems = verify_job(linked, {.order = job.order});
    if (!verdict.empty()) {
      ++wrong;
      ASSERT_FALSE(problems.empty()) << "accepted but wrong: " << what << "\n"
                                     << verdict << "\n"
                                     << text_of(job.programs);
    } else if (!comes_to_an_end(linked)) {
      ++stuck;
      ASSERT_FALSE(problems.empty()) << "accepted but stuck: " << what << "\n" << text_of(job.programs);
    } else {
      ++right;
      ASSERT_TRUE(problems.empty()) << "refused but right: " << what << "\n"
                                    << explain(linked, problems) << text_of(job.programs);
    }
  }
  EXPECT_GT(wrong, 2000);
  EXPECT_GT(right, 80);
  EXPECT_GT(stuck, 5);
  testing::Test::RecordProperty("wrong", wrong);
  testing::Test::RecordProperty("right", right);
  testing::Test::RecordProperty("stuck", stuck);
}

// One fault of each sort, and what the message says.
TEST(Verify, MessagesNameActionAndValue) {
  struct Case {
    std::string line;         // the line to change
    std::string replacement;  // empty: removed; may be several lines
    std::string message;
  };
  const std::vector<Case> table{
      {"recompute 1 mb=0\n", "", "`backward_input 1 mb=0` reads `saved_input 1 mb=0`, which nobody has made"},
      {"free x 1 mb=0\n", "", "`forward 0 mb=0 save` makes `x 1 mb=0`, which is never freed"},
      {"free x 1 mb=0\n", "free x 1 mb=0\nfree x 1 mb=0\n",
       "`free x 1 mb=0` frees `x 1 mb=0`, which was ended by action 9 `free x 1 mb=0`"},
      {"forward 0 mb=0 save\n", "forward 0 mb=0 save\nforward 0 mb=0 save\n",
       "creates `x 1 mb=0`, which exists since action 1 `forward 0 mb=0 save`"},
      {"pack 1\n", "", "`update 1` leaves `packed 1` stale at the end of the step"},
      {"forward 1 mb=1 discard\n", "update 1\nforward 1 mb=1 discard\n",
       "reads `weight 1` after action 16 `update 1`, but action"},
      {"norm 1\n", "", "`clip` decides with the norms of 2 of 3 blocks"},
      {"norm 1\n", "norm 1\nnorm 1\n", "was done already by action"},
      {"backward_weight 1 mb=1 accumulate\n", "", "no `backward_weight 1 mb=1` in the program"},
      {"backward_weight 1 mb=1 accumulate\n", "", "`norm 1` reads `grad 1` with 1 of 2 contributions"},
      {"begin\n", "", "`loss 2 mb=0 overwrite` adds to the loss before `begin`"},
      {"clip\n", "clip\nfree weight 0\n", "ends initial value `weight 0`, which the next step needs"},
      {"clip\n", "clip\nloss_only 2 mb=0\n",
       "`loss_only 2 mb=0` is not an action of this block in this program"},
      {"clip\n", "clip\nforward 9 mb=0 save\n", "`forward 9 mb=0 save` names a block outside 0 to 2"},
      {"clip\n", "clip\nforward 0 mb=5 save\n", "names a micro-batch outside 0 to 1"},
  };
  const std::string good = to_string(make_step(model(3), 2, {.recompute = {1}}));
  ASSERT_TRUE(verify(parse_program(good)).empty());
  for (const Case& c : table) {
    std::string text = good;
    const size_t at = text.find("\n" + c.line) + 1;
    ASSERT_NE(at, std::string::npos + 1) << c.line;
    text.replace(at, c.line.size(), c.replacement);
    const Program program = parse_program(text);
    EXPECT_THAT(explain(program, verify(program)), testing::HasSubstr(c.message)) << c.line;
  }
}

TEST(Verify, OutOfOrderSumIsRefusedOnlyWhenTheOrderIsAsked) {
  Program program = make_step(model(3), 2);
  // Backwards of micro-batch 1 before those of 0.
  const Grid grid{{CellKind::forward, 0, 0},
                  {CellKind::forward, 0, 1},
                  {CellKind::backward, 0, 1},
                  {CellKind::backward, 0, 0}};
  program = expand_stages(grid, {{0, 3}}, model(3), 2, Goal::train);
  optimizer_pass()(program);
  free_pass()(program);
  EXPECT_TRUE(verify(program, {.order = SumOrder::any}).empty());
  EXPECT_THAT(
      explain(program, verify(program)),
      testing::HasSubstr("adds to a sum after action 5 `loss 2 mb=1 overwrite`, out of the reference order"));
}

TEST(Verify, ExplainShowsNeighboursAndGrid) {
  Program program = make_step(model(3), 2);
  std::erase(program.list, parse_action("backward_input 1 mb=1"));
  const std::string text = explain(program, verify(program));
  EXPECT_THAT(text, testing::HasSubstr("  >     19  backward_weight 1 mb=1 accumulate\n"));
  EXPECT_THAT(text, testing::HasSubstr("    block      0     1     2\n"
                                       "    mb   0        FW   FIW     L\n"
                                       "    mb   1        FW  [FW]     L\n"));
}

TEST(Verify, LinkedFaultsAreNamed) {
  const random_programs::Costs costs;
  const Program program = make_step(model(4), 2);
  const LaneMap two = [](const Action& a) {
    return a.kind == Kind::backward_weight ? Lane::host : Lane::compute;
  };
  const LinkedProgram good = link(program, costs, {.lane_of = two});
  ASSERT_EQ(explain(program, verify(good)), "");

  LinkedProgram unwaited = good;
  for (LinkedAction& action : unwaited.actions) action.num_waits = 0;
  EXPECT_THAT(explain(program, verify(unwaited)), testing::HasSubstr("and does not wait for"));

  LinkedProgram stuck = good;
  // The first action of the compute lane waits for the last one of the other lane, in the same step.
  const auto last = static_cast<int32_t>(stuck.lanes[static_cast<size_t>(Lane::host)].size()) - 1;
  stuck.actions[0].first_wait = static_cast<int32_t>(stuck.waits.size());
  stuck.actions[0].num_waits = 1;
  stuck.waits.push_back({Lane::host, false, last});
  EXPECT_THAT(explain(program, verify(stuck)),
              testing::HasSubstr("wait for each other for ever: lane compute waits at action 0 `begin` for "
                                 "`backward_weight 0 mb=1 accumulate` of lane host; lane host waits at"));

  LinkedProgram outside = good;
  outside.memory[Tier::device].arena -= 64;
  EXPECT_THAT(explain(program, verify(outside)), testing::HasSubstr("outside the arena"));

  LinkedProgram on_scratch = good;
  on_scratch.scratch[0].offset = good.buffers[0].offset;
  EXPECT_THAT(explain(program, verify(on_scratch)),
              testing::HasSubstr("the working memory of lane compute and `scalars` overlap on tier device"));

  LinkedProgram moved = good;
  moved.buffers[1].offset += 64;
  EXPECT_THAT(explain(program, verify(moved)), testing::HasSubstr("and its buffer disagree"));

  LinkedProgram lost = good;
  lost.lanes[0].pop_back();
  EXPECT_THAT(explain(program, verify(lost)), testing::HasSubstr("is not number"));
}

TEST(Verify, LimitNamesTheFirstValueThatDoesNotFit) {
  const random_programs::Costs costs;
  const LinkedProgram linked = link(make_step(model(4), 2), costs);
  const int64_t arena = linked.memory[Tier::device].arena;
  EXPECT_NO_THROW(require_verified(linked, {.limit = {arena}}));
  EXPECT_TRUE(verify(linked, {.limit = {arena}}).empty());
  try {
    require_verified(linked, {.limit = {arena - 64}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.fault(), Fault::memory);
    EXPECT_THAT(error.what(), testing::HasSubstr("the step does not fit into memory"));
    EXPECT_THAT(error.what(), testing::HasSubstr("which does not fit"));
  }
  try {
    require_verified(linked, {.limit = {32}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("`scalars` does not fit"));
  }
  LinkedProgram broken = linked;
  std::swap(broken.program.list[1], broken.program.list[2]);
  EXPECT_THROW(require_verified(broken), ContractError);
}

}  // namespace
}  // namespace strata
