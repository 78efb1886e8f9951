// SPDX-License-Identifier: Apache-2.0
// Zero-bubble schedules ZB-H1 and ZB-H2 (Qi et al. 2023): the backward is split, and the weights' half, on
// which nobody waits, fills what would be the bubble. One rule with k = 1, 2: a warm-up of k(p-1-r) forwards,
// then a forward and a backward of the input in turn, and a backward of the weights in each round once more
// than k*r inputs' are done; those that are left come last. k = 1 keeps p micro-batches on every rank, k = 2
// keeps 2p-1 and, when the three parts take equal time, no rank idles between its first cell and its last.
#include <algorithm>

#include "core/base/check.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {

namespace {

Grid zero_bubble(const ScheduleShape& shape, int rank, int k) {
  const auto cell = [&](CellKind kind, int mb) {
    return Cell{kind, narrow<int16_t>(rank), narrow<int16_t>(mb)};
  };
  const int m = shape.micro_batches;
  const int warm_up = std::min(k * (shape.ranks - 1 - rank), m), delay = std::min(k * rank, m);
  Grid grid;
  for (int mb = 0; mb < warm_up; ++mb) grid.push_back(cell(CellKind::forward, mb));
  for (int mb = 0; mb < m; ++mb) {
    if (mb + warm_up < m) grid.push_back(cell(CellKind::forward, mb + warm_up));
    grid.push_back(cell(CellKind::backward_input, mb));
    if (mb >= delay) grid.push_back(cell(CellKind::backward_weight, mb - delay));
  }
  for (int mb = m - delay; mb < m; ++mb) grid.push_back(cell(CellKind::backward_weight, mb));
  return grid;
}

}  // namespace

Grid zb_h1(const ScheduleShape& shape, int rank) { return zero_bubble(shape, rank, 1); }
Grid zb_h2(const ScheduleShape& shape, int rank) { return zero_bubble(shape, rank, 2); }

}  // namespace strata
