// SPDX-License-Identifier: Apache-2.0
// Layouts of up to eight ranks in which every two settings that can stand together do, each against one rank.
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

constexpr std::array kFactors = {"model", "pp",        "schedule",  "dp",    "cp",
                                 "tp",    "partition", "recompute", "ahead", "order"};
constexpr std::array<int, kFactors.size()> kChoices = {3, 3, 5, 3, 2, 3, 5, 2, 3, 2};
using Choice = std::array<int8_t, kFactors.size()>;

constexpr std::array kSchedules = {"gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2"};

struct Layout {
  int model = 0;
  StepLayout layout;
};

// Nothing when the settings exclude each other.
std::optional<Layout> layout_of(const Choice& choice) {
  const auto [model, pp, schedule, dp, cp, tp, partition, recompute, ahead, order] = choice;
  StepLayout layout{.mesh = {.pp = 1 << pp, .dp = 1 << dp, .cp = 1 << cp, .tp = tp == 0 ? 1 : 2},
                    .sequence = tp == 2,
                    .schedule = kSchedules[static_cast<size_t>(schedule)],
                    .tree = order == 1,
                    .recompute = recompute == 1,
                    .gather_ahead = ahead};
  if (layout.ranks() > 8) return std::nullopt;
  if (pp == 0 && schedule != 0) return std::nullopt;  // one stage has no schedule
  if (layout.schedule == std::string("interleaved")) layout.virtual_stages = 2;
  if (layout.mesh.pp * layout.virtual_stages > 4) return std::nullopt;  // layers
  const int data_ranks = layout.mesh.dp * layout.mesh.cp;
  if (data_ranks == 1 && partition != 0) return std::nullopt;
  if (data_ranks < 4 && partition == 4) return std::nullopt;
  layout.partition = std::array<PartitionWays, 5>{{{1, 1, 1},
                                                   {1, 1, data_ranks},
                                                   {1, data_ranks, data_ranks},
                                                   {data_ranks, data_ranks, data_ranks},
                                                   {2, 2, data_ranks}}}[static_cast<size_t>(partition)];
  if (layout.partition.weights == 1 && ahead != 1) return std::nullopt;  // nothing is gathered
  if (layout.tree && layout.mesh.cp * layout.mesh.tp > 1) return std::nullopt;
  return Layout{model, layout};
}

using Pair = std::array<int8_t, 4>;  // two factors and their settings

std::set<Pair> pairs_of(const Choice& choice) {
  std::set<Pair> pairs;
  for (int8_t a = 0; a < static_cast<int8_t>(kFactors.size()); ++a)
    for (int8_t b = 0; b < a; ++b)
      pairs.insert({b, choice[static_cast<size_t>(b)], a, choice[static_cast<size_t>(a)]});
  return pairs;
}

// Greedily the choice with the most pairs that no earlier one has.
std::vector<Choice> covering() {
  struct Candidate {
    Choice choice;
    std::set<Pair> missing;
  };
  std::vector<Candidate> candidates;
  Choice choice{};
  for (bool more = true; more;) {
    if (layout_of(choice)) candidates.push_back({choice, pairs_of(choice)});
    more = false;
    for (size_t factor = 0; factor < kFactors.size() && !more; ++factor) {
      more = ++choice[factor] < kChoices[factor];
      if (!more) choice[factor] = 0;
    }
  }
  std::vector<Choice> chosen;
  std::set<Pair> covered;
  while (true) {
    Candidate* best = nullptr;
    size_t most = 0;
    for (Candidate& candidate : candidates) {
      if (candidate.missing.size() <= most) continue;  // it only gets fewer
      std::erase_if(candidate.missing, [&](const Pair& pair) { return covered.contains(pair); });
      if (candidate.missing.size() <= most) continue;
      best = &candidate;
      most = candidate.missing.size();
    }
    if (!best) return chosen;
    chosen.push_back(best->choice);
    covered.merge(pairs_of(best->choice));
  }
}

TEST(Pairwise, EveryTwoSettingsTrainAsOneRankDoes) {
  const std::array<StepRun, 3> runs = {StepRun{.spec = small_llama(), .evaluate = true},
                                       StepRun{.spec = small_llama(true), .evaluate = true},
                                       StepRun{.spec = small_gpt2(), .evaluate = true}};
  std::vector<StepOutcome> one, one_tree;
  for (const StepRun& run : runs) {
    one.push_back(run_steps(run, {}));
    one_tree.push_back(run_steps(run, {.tree = true}));
  }
  const std::vector<Choice> choices = covering();
  for (const Choice& choice : choices) {
    const auto [model, layout] = *layout_of(choice);
    const auto m = static_cast<size_t>(model);
    SCOPED_TRACE(runs[m].spec.arch + (runs[m].spec.tied ? " tied " : " ") + to_string(layout));
    const StepOutcome many = run_steps(runs[m], layout);
    EXPECT_EQ(differences(many, one[m], rounds_apart(layout)), "");
    if (layout.tree) {
      EXPECT_EQ(different_bits(many, one_tree[m]), "");
    }
  }
  std::cout << choices.size() << " layouts\n";
}

}  // namespace
}  // namespace strata
