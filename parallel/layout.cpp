// SPDX-License-Identifier: Apache-2.0
#include "parallel/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <utility>

#include "core/base/check.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {

namespace {

std::vector<int> divisors(int n) {
  std::vector<int> all;
  for (int d = 1; d <= n; ++d)
    if (n % d == 0) all.push_back(d);
  return all;
}

// The layout of a request without a fault.
Layout settled(const LayoutRequest& request, const BatchFacts& batch) {
  Layout layout{.sizes = request.sizes, .virtual_stages = request.virtual_stages};
  MeshSizes& s = layout.sizes;
  if (s.dp == 0) s.dp = request.ranks / (s.pp * s.cp * s.tp);
  layout.micro_batches = narrow<int>(batch.tokens_per_step / (batch.micro_batch * batch.seq_len * s.dp));
  return layout;
}

// Stages per rank worth trying with this pp: as asked, or as the schedule wants.
std::vector<int> virtual_stage_choices(const LayoutRequest& request, const ModelFacts& model, int pp) {
  if (pp == 1) return {1};
  if (request.schedule.empty()) return {std::max(1, request.virtual_stages)};
  if (!find_schedule(request.schedule).interleaved) return {1};
  std::vector<int> all;
  for (int v = 2; v <= model.layers / pp; ++v)
    if (model.layers % (pp * v) == 0) all.push_back(v);
  return all;
}

// Visits the legal layouts of these ranks until visit() returns false.
void for_each_legal(const LayoutRequest& request, const ModelFacts& model, const BatchFacts& batch,
                    const std::function<bool(const Layout&)>& visit) {
  const std::vector<int> eps = model.experts > 0 ? divisors(model.experts) : std::vector<int>{1};
  const std::vector<int> etps = request.sizes.etp > 1 && model.experts > 0
                                    ? std::vector<int>{1, request.sizes.etp}
                                    : std::vector<int>{1};
  LayoutRequest trial = request;
  MeshSizes& s = trial.sizes;
  for (const int pp : divisors(request.ranks)) {
    for (const int cp : divisors(request.ranks / pp)) {
      for (const int tp : divisors(request.ranks / pp / cp)) {
        s.pp = pp, s.cp = cp, s.tp = tp, s.dp = request.ranks / pp / cp / tp;
        for (const int v : virtual_stage_choices(request, model, pp)) {
          trial.virtual_stages = v;
          for (const int ep : eps) {
            for (const int etp : etps) {
              s.ep = ep, s.etp = etp;
              if (!layout_fault(trial, model, batch) && !visit(settled(trial, batch))) return;
            }
          }
        }
      }
    }
  }
}

// In millionths, so that rounding of the logarithms orders no two that are equally near.
int64_t distance(const LayoutRequest& request, const Layout& layout) {
  const auto apart = [](int a, int b) {
    return std::abs(std::log2(std::max(a, 1)) - std::log2(std::max(b, 1)));
  };
  const MeshSizes &a = request.sizes, &b = layout.sizes;
  const double sum = apart(a.pp, b.pp) + apart(a.cp, b.cp) + apart(a.tp, b.tp) + apart(a.ep, b.ep) +
                     apart(a.etp, b.etp) + apart(request.virtual_stages, layout.virtual_stages) +
                     (a.dp > 0 ? apart(a.dp, b.dp) : 0);
  return std::llround(sum * 1e6);
}

// Numbers of ranks that have a legal layout: the nearest on both sides, or a power of two far below.
std::string nearest_rank_counts(LayoutRequest request, const ModelFacts& model, const BatchFacts& batch) {
  const int asked = request.ranks;
  const auto possible = [&](int ranks) {
    request.ranks = ranks;
    bool found = false;
    if (ranks >= 1) for_each_legal(request, model, batch, [&](const Layout&) { return !(found = true); });
    return found;
  };
  constexpr int kReach = 64;
  for (int away = 1; away <= kReach; ++away) {
    const bool fewer = possible(asked - away), more = possible(asked + away);
    if (fewer && more) return fmt::format("{} or {}", asked - away, asked + away);
    if (fewer || more) return std::to_string(fewer ? asked - away : asked + away);
  }
  for (auto ranks = static_cast<int>(std::bit_floor(static_cast<unsigned>(asked))); ranks >= 1; ranks /= 2)
    if (possible(ranks)) return std::to_string(ranks);
  return "";
}

// What to do about a fault: the report's own remedy, then layouts, one a line.
std::string remedy(const std::string& own, const LayoutRequest& request, const ModelFacts& model,
                   const BatchFacts& batch) {
  std::string text = own;
  const auto add = [&](const std::string& more) { text += (text.empty() ? "" : ", or ") + more; };
  const std::vector<Layout> layouts = nearest_layouts(request, model, batch);
  if (!layouts.empty()) {
    add(fmt::format("a layout of {} ranks:", request.ranks));
    for (const Layout& layout : layouts)
      text += fmt::format("\n              {}", to_string(layout.sizes, layout.virtual_stages));
    return text;
  }
  if (const std::string counts = nearest_rank_counts(request, model, batch); !counts.empty())
    add(fmt::format("{} ranks: no layout of {} fits this model and batch", counts, request.ranks));
  return text;
}

}  // namespace

std::string to_string(const MeshSizes& sizes, int virtual_stages) {
  std::string text = fmt::format("pp {} x dp {} x cp {} x tp {}", sizes.pp, sizes.dp, sizes.cp, sizes.tp);
  for (const auto& [name, size] :
       {std::pair{"ep", sizes.ep}, {"etp", sizes.etp}, {"virtual_stages", virtual_stages}})
    if (size != 1) text += fmt::format(", {} {}", name, size);
  return text;
}

std::vector<Layout> nearest_layouts(const LayoutRequest& request, const ModelFacts& model,
                                    const BatchFacts& batch, int most) {
  std::vector<std::pair<int64_t, Layout>> all;
  for_each_legal(request, model, batch, [&](const Layout& layout) {
    all.emplace_back(distance(request, layout), layout);
    return true;
  });
  // Equally near ones keep the order of their enumeration: short pipelines first.
  std::ranges::stable_sort(all, {}, [](const auto& entry) { return entry.first; });
  std::vector<Layout> nearest;
  for (const auto& [unused, layout] : all)
    if (static_cast<int>(nearest.size()) < most) nearest.push_back(layout);
  return nearest;
}

Layout decide_layout(const LayoutRequest& request, const ModelFacts& model, const BatchFacts& batch) {
  std::optional<Report> fault = layout_fault(request, model, batch);
  if (!fault) return settled(request, batch);
  fault->fix = remedy(fault->fix, request, model, batch);
  throw Error(Fault::usage, std::move(*fault));
}

}  // namespace strata
