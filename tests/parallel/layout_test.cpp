// SPDX-License-Identifier: Apache-2.0
// Layouts against a plain restatement of the rules, over all small requests.
#include "parallel/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace strata {
namespace {

// The rules once more, as one condition over whole sizes.
bool legal(const LayoutRequest& q, const MeshSizes& s, const ModelFacts& m, const BatchFacts& b) {
  if (s.pp * s.dp * s.cp * s.tp != q.ranks) return false;
  const bool model =
      m.heads % s.tp == 0 && m.kv_heads % s.tp == 0 && m.ffn % s.tp == 0 && m.vocab % s.tp == 0;
  const bool experts = m.experts == 0 ? s.ep == 1 && s.etp == 1
                                      : m.experts % s.ep == 0 && m.expert_ffn % s.etp == 0 &&
                                            (s.dp * s.cp * s.tp) % (s.ep * s.etp) == 0;
  const bool stages = m.layers % (s.pp * q.virtual_stages) == 0 && (s.pp > 1 || q.virtual_stages == 1);
  const bool sequence =
      (s.cp == 1 || b.seq_len % (2 * s.cp) == 0) && (!q.sequence_parallel || b.seq_len / s.cp % s.tp == 0);
  const int64_t each = b.micro_batch * b.seq_len * s.dp;
  const int64_t micro_batches = b.tokens_per_step / each;
  const bool interleaved = q.schedule == "interleaved";
  const bool schedule = s.pp == 1 || (micro_batches >= s.pp && (q.virtual_stages > 1) == interleaved &&
                                      (!interleaved || micro_batches % s.pp == 0));
  return model && experts && stages && sequence && b.tokens_per_step % each == 0 && schedule;
}

struct Facts {
  ModelFacts model;
  BatchFacts batch;
};
const std::vector<Facts> kFacts{
    {{.layers = 12, .heads = 12, .kv_heads = 4, .ffn = 48, .vocab = 96}, {24 * 16, 2, 16}},
    {{.layers = 8, .heads = 8, .kv_heads = 8, .ffn = 24, .vocab = 64}, {30 * 12, 1, 12}},
    {{.layers = 6, .heads = 6, .kv_heads = 6, .ffn = 18, .vocab = 36, .experts = 6, .expert_ffn = 10},
     {36 * 20, 1, 20}},
};

// Calls visit(request, facts) for the legal and illegal sizes of up to 12 ranks.
template <typename Visit>
void for_each_request(Visit visit) {
  for (const Facts& facts : kFacts)
    for (const int ranks : {1, 2, 3, 4, 6, 8, 12})
      for (const int pp : {1, 2, 3, 4})
        for (const int tp : {1, 2, 3, 4})
          for (const int cp : {1, 2, 3})
            for (const int ep : {1, 2, 4})
              for (const int etp : {1, 2})
                for (const int v : {1, 2, 3})
                  for (const char* schedule : {"1f1b", "interleaved"})
                    for (const bool sp : {false, true})
                      visit(
                          LayoutRequest{
                              .ranks = ranks,
                              .sizes = {.pp = pp, .dp = 0, .cp = cp, .tp = tp, .ep = ep, .etp = etp},
                              .virtual_stages = v,
                              .sequence_parallel = sp,
                              .schedule = schedule},
                          facts);
}

TEST(Layout, AgreesWithTheRestatedRules) {
  int right = 0, wrong = 0;
  for_each_request([&](const LayoutRequest& request, const Facts& facts) {
    MeshSizes sizes = request.sizes;
    const int others = sizes.pp * sizes.cp * sizes.tp;
    sizes.dp = request.ranks / others;
    const bool expected = sizes.dp >= 1 && legal(request, sizes, facts.model, facts.batch);
    const auto fault = layout_fault(request, facts.model, facts.batch);
    ASSERT_EQ(!fault, expected) << to_string(sizes, request.virtual_stages) << " of " << request.ranks << ", "
                                << request.schedule << ": " << (fault ? to_string(*fault) : "no fault");
    ++(expected ? right : wrong);
    if (sizes.dp < 1) return;
    // "auto" is the dp that one would have to write; any other is refused.
    LayoutRequest written = request;
    written.sizes.dp = sizes.dp;
    ASSERT_EQ(!layout_fault(written, facts.model, facts.batch), expected);
    written.sizes.dp += 1;
    ASSERT_TRUE(layout_fault(written, facts.model, facts.batch));
    if (!expected) return;
    const Layout layout = decide_layout(request, facts.model, facts.batch);
    EXPECT_EQ(layout.sizes, sizes);
    EXPECT_EQ(layout.micro_batches * sizes.dp * facts.batch.micro_batch * facts.batch.seq_len,
              facts.batch.tokens_per_step);
  });
  EXPECT_GT(right, 300);
  EXPECT_GT(wrong, 10000);
}

double distance(const LayoutRequest& request, const Layout& layout) {
  const MeshSizes &a = request.sizes, &b = layout.sizes;
  double sum = 0;
  for (const auto& [x, y] : {std::pair{a.pp, b.pp},
                             {a.cp, b.cp},
                             {a.tp, b.tp},
                             {a.ep, b.ep},
                             {a.etp, b.etp},
                             {request.virtual_stages, layout.virtual_stages}})
    sum += std::abs(std::log2(static_cast<double>(x) / y));
  return sum;
}

// Everything that is offered is legal, and nothing legal is nearer than the first.
TEST(Layout, NearestLayoutsAreLegalAndNearest) {
  int offered = 0;
  for_each_request([&](const LayoutRequest& request, const Facts& facts) {
    if (request.ranks == 12 || (request.sizes.tp + request.sizes.pp) % 2 == 0) return;  // fewer, for time
    const auto nearest = nearest_layouts(request, facts.model, facts.batch);
    double last = 0;
    for (const Layout& layout : nearest) {
      LayoutRequest again = request;
      again.virtual_stages = layout.virtual_stages;
      ASSERT_TRUE(legal(again, layout.sizes, facts.model, facts.batch))
          << to_string(layout.sizes, layout.virtual_stages);
      ASSERT_GE(distance(request, layout), last - 1e-5);
      last = distance(request, layout);
      ++offered;
    }
    // By brute force over all sizes.
    double best = 1e9;
    const int n = request.ranks;
    for (int pp = 1; pp <= n; ++pp)
      for (int cp = 1; pp * cp <= n; ++cp)
        for (int tp = 1; pp * cp * tp <= n; ++tp)
          for (int v = 1; v <= facts.model.layers; ++v)
            for (int ep = 1; ep <= std::max(1, facts.model.experts); ++ep)
              for (const int etp : {1, request.sizes.etp}) {
                if (n % (pp * cp * tp) != 0) continue;
                LayoutRequest trial = request;
                trial.virtual_stages = v;
                const MeshSizes sizes{
                    .pp = pp, .dp = n / (pp * cp * tp), .cp = cp, .tp = tp, .ep = ep, .etp = etp};
                if (legal(trial, sizes, facts.model, facts.batch))
                  best = std::min(best, distance(request, {.sizes = sizes, .virtual_stages = v}));
              }
    ASSERT_EQ(nearest.empty(), best == 1e9);
    if (!nearest.empty()) {
      ASSERT_NEAR(distance(request, nearest.front()), best, 1e-5);
    }
  });
  EXPECT_GT(offered, 3000);
}

// Whatever else than sizes a refusal names, "key = 24 or 32", "start 6 or 9 ranks", ends that fault.
TEST(Layout, RemediesEndTheirFault) {
  std::map<std::string, int> tried;
  const std::regex pattern("(batch.tokens_per_step =|data.seq_len =|start) (\\d+)(?: or (\\d+))?.*");
  for_each_request([&](const LayoutRequest& request, const Facts& facts) {
    const auto fault = layout_fault(request, facts.model, facts.batch);
    std::smatch match;
    if (!fault || !std::regex_match(fault->fix, match, pattern)) return;
    for (const size_t group : {2u, 3u}) {
      if (!match[group].matched) continue;
      LayoutRequest again = request;
      BatchFacts batch = facts.batch;
      const int number = std::stoi(match[group]);
      if (match[1] == "start") again.ranks = number;
      if (match[1] == "data.seq_len =") batch.seq_len = number;
      if (match[1] == "batch.tokens_per_step =") batch.tokens_per_step = number;
      const auto next = layout_fault(again, facts.model, batch);
      ASSERT_TRUE(!next || next->what != fault->what) << to_string(*fault) << "\n" << to_string(*next);
      ++tried[match[1]];
    }
  });
  EXPECT_EQ(tried.size(), 3u);
  for (const auto& [key, count] : tried) EXPECT_GT(count, 50) << key;
}

TEST(Layout, AUsersOwnScheduleIsNotJudgedHere) {
  const Facts& facts = kFacts[0];
  const LayoutRequest request{.ranks = 4, .sizes = {.pp = 4, .dp = 0}, .virtual_stages = 3, .schedule = ""};
  EXPECT_EQ(decide_layout(request, facts.model, facts.batch).virtual_stages, 3);
}

TEST(Layout, FactsBelowOneAreABrokenContract) {
  EXPECT_THROW((void)layout_fault({}, {.heads = 0}, {}), ContractError);
}

}  // namespace
}  // namespace strata
