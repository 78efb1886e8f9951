// SPDX-License-Identifier: Apache-2.0
// 1F1B (PipeDream-flush; Narayanan et al. 2021): after as many forwards as there are ranks behind this one, a
// forward and a backward in turn. Rank r never keeps more than p-r micro-batches.
#include "core/base/check.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {

Grid one_f_one_b(const ScheduleShape& shape, int rank) {
  const auto cell = [&](CellKind kind, int mb) {
    return Cell{kind, narrow<int16_t>(rank), narrow<int16_t>(mb)};
  };
  const int warm_up = shape.ranks - 1 - rank;
  Grid grid;
  for (int mb = 0; mb < warm_up; ++mb) grid.push_back(cell(CellKind::forward, mb));
  for (int mb = 0; mb < shape.micro_batches; ++mb) {
    if (mb + warm_up < shape.micro_batches) grid.push_back(cell(CellKind::forward, mb + warm_up));
    grid.push_back(cell(CellKind::backward, mb));
  }
  return grid;
}

}  // namespace strata
