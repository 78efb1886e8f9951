// SPDX-License-Identifier: Apache-2.0
#include "parallel/schedules/cell_index.h"

namespace strata {

CellIndex::CellIndex(const Schedule& schedule)
    : stages_(schedule.num_stages()), micro_batches_(schedule.micro_batches) {
  for (auto& places : places_)
    places.resize(static_cast<size_t>(stages_) * static_cast<size_t>(micro_batches_));
  for (int rank = 0; rank < schedule.num_ranks(); ++rank) {
    const Grid& grid = schedule.ranks[static_cast<size_t>(rank)];
    for (int i = 0; i < static_cast<int>(grid.size()); ++i) {
      const Cell& cell = grid[static_cast<size_t>(i)];
      if (cell.stage < 0 || cell.stage >= stages_ || cell.micro_batch < 0 ||
          cell.micro_batch >= micro_batches_)
        continue;
      Place& place = at(cell.kind, cell.stage, cell.micro_batch);
      if (!place) place = {rank, i};
    }
  }
}

Place& CellIndex::at(CellKind kind, int stage, int micro_batch) {
  return places_[static_cast<size_t>(kind)][static_cast<size_t>(stage) * static_cast<size_t>(micro_batches_) +
                                            static_cast<size_t>(micro_batch)];
}

Place CellIndex::find(CellKind kind, int stage, int micro_batch) const {
  return const_cast<CellIndex*>(this)->at(kind, stage, micro_batch);
}

Place CellIndex::backward(int stage, int micro_batch) const {
  const Place whole = find(CellKind::backward, stage, micro_batch);
  return whole ? whole : find(CellKind::backward_input, stage, micro_batch);
}

Place CellIndex::awaited(const Cell& cell) const {
  if (cell.kind == CellKind::backward_weight) return {};
  if (cell.kind == CellKind::forward)
    return cell.stage == 0 ? Place{} : find(CellKind::forward, cell.stage - 1, cell.micro_batch);
  return cell.stage == stages_ - 1 ? Place{} : backward(cell.stage + 1, cell.micro_batch);
}

std::vector<int> walk_cells(const Schedule& schedule, const CellIndex& index,
                            const std::function<void(Place)>& visit) {
  std::vector<int> next(schedule.ranks.size(), 0);
  for (bool moved = true; moved;) {
    moved = false;
    for (int rank = 0; rank < schedule.num_ranks(); ++rank) {
      const Grid& grid = schedule.ranks[static_cast<size_t>(rank)];
      int& at = next[static_cast<size_t>(rank)];
      for (; at < static_cast<int>(grid.size()); ++at) {
        const Place awaited = index.awaited(grid[static_cast<size_t>(at)]);
        if (awaited && awaited.position >= next[static_cast<size_t>(awaited.rank)]) break;
        visit({rank, at});
        moved = true;
      }
    }
  }
  return next;
}

}  // namespace strata
