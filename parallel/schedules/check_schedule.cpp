// SPDX-License-Identifier: Apache-2.0
#include "parallel/schedules/check_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/base/error.h"

namespace strata {

namespace {

constexpr size_t kMostProblems = 5;
// Up to here stages x micro-batches are looked at one by one even when most of their cells are missing.
constexpr int64_t kSmall = 1 << 16;

int size(const Grid& grid) { return static_cast<int>(grid.size()); }

class Checker {
 public:
  explicit Checker(const Schedule& schedule) : schedule_(schedule), index_(schedule) {}

  std::vector<ScheduleProblem> run() {
    check_stages();
    check_cells();
    for (int stage = 0; stage < schedule_.num_stages(); ++stage)
      for (int mb = 0; mb < schedule_.micro_batches; ++mb) check_micro_batch(stage, mb);
    if (problems_.empty()) check_progress();
    return problems_;
  }

 private:
  void add(std::string text, std::vector<Place> marks) {
    if (problems_.size() < kMostProblems) problems_.push_back({std::move(text), std::move(marks)});
  }

  const Cell& cell(Place place) const {
    return schedule_.ranks[static_cast<size_t>(place.rank)][static_cast<size_t>(place.position)];
  }
  std::string text(Place place) const { return to_string(Grid{cell(place)}); }
  bool is_rank(int rank) const { return rank >= 0 && rank < schedule_.num_ranks(); }
  int rank_of(int stage) const { return schedule_.stage_rank[static_cast<size_t>(stage)]; }

  void check_stages() {
    for (int stage = 0; stage < schedule_.num_stages(); ++stage)
      if (!is_rank(rank_of(stage))) add(fmt::format("stage {} is on no rank", stage), {});
    for (int rank = 0; rank < schedule_.num_ranks(); ++rank)
      if (std::ranges::find(schedule_.stage_rank, rank) == schedule_.stage_rank.end())
        add(fmt::format("rank {} has no stage", rank), {{rank, 0}});
  }

  // Every cell by itself: its numbers, its rank, that it is the only one.
  void check_cells() {
    const int stages = schedule_.num_stages(), micro_batches = schedule_.micro_batches;
    for (int rank = 0; rank < schedule_.num_ranks(); ++rank) {
      for (int i = 0; i < size(schedule_.ranks[static_cast<size_t>(rank)]); ++i) {
        const Place here{rank, i};
        const Cell& c = cell(here);
        if (c.stage < 0 || c.stage >= stages || c.micro_batch < 0 || c.micro_batch >= micro_batches) {
          add(fmt::format("{} in a schedule of {} stages and {} micro-batches", text(here), stages,
                          micro_batches),
              {here});
        } else if (rank_of(c.stage) != rank) {
          add(fmt::format("{} on rank {}: stage {} is on rank {}", text(here), rank, c.stage,
                          rank_of(c.stage)),
              {here});
        } else if (const Place first = index_.find(c.kind, c.stage, c.micro_batch); first != here) {
          add(fmt::format("{} twice", text(here)), {first, here});
        }
      }
    }
  }

  void check_micro_batch(int stage, int mb) {
    const auto find = [&](CellKind kind) { return index_.find(kind, stage, mb); };
    const Place forward = find(CellKind::forward), whole = find(CellKind::backward);
    const Place input = find(CellKind::backward_input), weight = find(CellKind::backward_weight);
    const std::string name = fmt::format("{}.{}", stage, mb);
    // Where a missing cell would be looked for: beside one that is there.
    const auto missing = [&](std::string what, Place beside) {
      std::vector<Place> marks;
      const int rank = rank_of(stage);
      if (beside)
        marks = {beside};
      else if (is_rank(rank))
        marks = {{rank, size(schedule_.ranks[static_cast<size_t>(rank)])}};
      add(std::move(what), std::move(marks));
    };
    if (!forward) missing(fmt::format("F{} is missing", name), index_.backward(stage, mb));
    if (whole && (input || weight)) {
      const Place other = input ? input : weight;
      add(fmt::format("{} beside {}: a backward is B, or I and W", text(other), text(whole)), {whole, other});
      return;
    }
    if (!whole && !input && !weight) {
      missing(fmt::format("B{} is missing, or I{} and W{}", name, name, name), forward);
      return;
    }
    if (!whole && !input) missing(fmt::format("I{} is missing", name), weight);
    if (!whole && !weight) missing(fmt::format("W{} is missing", name), input);
    for (const auto& [before, after] :
         {std::pair{forward, whole}, std::pair{forward, input}, std::pair{input, weight}})
      if (before && after && before.rank == after.rank && after.position < before.position)
        add(fmt::format("{} before {}", text(after), text(before)), {after, before});
  }

  // All cells are there once and each rank's own order is right: what can still happen is a ring of ranks,
  // each at a cell that awaits a later cell of the next.
  void check_progress() {
    const std::vector<int> reached = walk_cells(schedule_, index_, [](Place) {});
    int rank = 0;
    const auto waits = [&](int r) {
      return reached[static_cast<size_t>(r)] < size(schedule_.ranks[static_cast<size_t>(r)]);
    };
    while (rank < schedule_.num_ranks() && !waits(rank)) ++rank;
    if (rank == schedule_.num_ranks()) return;
    const auto head = [&](int r) { return Place{r, reached[static_cast<size_t>(r)]}; };
    const auto next = [&](int r) { return index_.awaited(cell(head(r))); };
    for (int step = 0; step < schedule_.num_ranks(); ++step)
      rank = next(rank).rank;  // now certainly on the ring
    std::string ring;
    std::vector<Place> marks;
    for (int r = rank; marks.empty() || r != rank; r = next(r).rank) {
      marks.push_back(head(r));
      ring += fmt::format("{}rank {} at {} waits for {} of rank {}", ring.empty() ? "" : ", ", r,
                          text(head(r)), text(next(r)), next(r).rank);
    }
    add("deadlock: " + ring, std::move(marks));
  }

  const Schedule& schedule_;
  CellIndex index_;
  std::vector<ScheduleProblem> problems_;
};

// The cells of one rank around `centre`, those at the marks in brackets.
std::string row(const Schedule& schedule, int rank, int centre, const std::vector<Place>& marks) {
  constexpr int kReach = 6;
  const Grid& grid = schedule.ranks[static_cast<size_t>(rank)];
  const int first = std::max(0, std::min(centre, size(grid)) - kReach);
  const int last = std::min(size(grid) - 1, centre + kReach);
  std::string text = fmt::format("    rank {:<3}{}", rank, first > 0 ? " ..." : "");
  const auto marked = [&](int i) { return std::ranges::find(marks, Place{rank, i}) != marks.end(); };
  for (int i = first; i <= last; ++i)
    text += fmt::format(fmt::runtime(marked(i) ? " [{}]" : "  {} "),
                        to_string(Grid{grid[static_cast<size_t>(i)]}));
  if (last < size(grid) - 1) text += " ...";
  if (marked(size(grid))) text += " [ ]";
  return text + "\n";
}

}  // namespace

std::vector<ScheduleProblem> check_schedule(const Schedule& schedule) {
  const int64_t pairs = int64_t{schedule.num_stages()} * schedule.micro_batches;
  if (schedule.ranks.empty() || pairs < 1) return {{"the schedule is empty", {}}};
  // A text can name stage 30000 in a single cell: do not make room for what is not there.
  int64_t cells = 0;
  for (const Grid& grid : schedule.ranks) cells += size(grid);
  if (pairs > std::max(cells, kSmall))
    return {{fmt::format("{} cells for {} stages and {} micro-batches: at least {} are needed", cells,
                         schedule.num_stages(), schedule.micro_batches, 2 * pairs),
             {}}};
  return Checker(schedule).run();
}

std::string explain(const Schedule& schedule, const std::vector<ScheduleProblem>& problems) {
  std::string text;
  for (const ScheduleProblem& problem : problems) {
    text += problem.text + "\n";
    for (int rank = 0; rank < schedule.num_ranks(); ++rank) {
      // A rank is shown when it has a mark or is the neighbour of one that has.
      const Place* nearest = nullptr;
      for (const Place& mark : problem.marks)
        if (std::abs(mark.rank - rank) <= 1 && (nearest == nullptr || mark.rank == rank)) nearest = &mark;
      if (nearest != nullptr) text += row(schedule, rank, nearest->position, problem.marks);
    }
  }
  return text;
}

void require_possible(const Schedule& schedule, std::string_view where) {
  const std::vector<ScheduleProblem> problems = check_schedule(schedule);
  if (problems.empty()) return;
  std::string found = explain(schedule, problems);
  found.pop_back();  // the last line's end
  throw Error(Fault::usage,
              {.what = "the pipeline schedule is not possible",
               .where = std::string(where),
               .found = std::move(found),
               .expected = "every stage forward and backward once for each micro-batch, in an order "
                           "in which no rank waits for ever"});
}

}  // namespace strata
