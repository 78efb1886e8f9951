// SPDX-License-Identifier: Apache-2.0
// Interleaved 1F1B (Narayanan et al. 2021): v stages per rank, stage s on rank s % p. A rank takes the
// micro-batches in rounds of p, each round through all of its stages, and so fills the pipeline with pieces
// 1/v as long: the bubble shrinks by v, the messages grow by v.
#include <algorithm>

#include "core/base/check.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {

Grid interleaved(const ScheduleShape& shape, int rank) {
  const int p = shape.ranks, v = shape.virtual_stages, total = shape.micro_batches * v;
  // The k-th forward or backward of a rank: rounds of p micro-batches, within one the stages one after
  // another, backwards from the last.
  const auto cell = [&](CellKind kind, int k) {
    const int round = k / (p * v), chunk = k % (p * v) / p, mb = round * p + k % p;
    const int stage = (kind == CellKind::forward ? chunk : v - 1 - chunk) * p + rank;
    return Cell{kind, narrow<int16_t>(stage), narrow<int16_t>(mb)};
  };
  const int warm_up = std::min(2 * (p - 1 - rank) + (v - 1) * p, total);
  Grid grid;
  for (int k = 0; k < warm_up; ++k) grid.push_back(cell(CellKind::forward, k));
  for (int k = 0; k < total; ++k) {
    if (k + warm_up < total) grid.push_back(cell(CellKind::forward, k + warm_up));
    grid.push_back(cell(CellKind::backward, k));
  }
  return grid;
}

}  // namespace strata
