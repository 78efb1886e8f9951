// SPDX-License-Identifier: Apache-2.0
// GPipe (Huang et al. 2019): all forwards, then all backwards.
#include "core/base/check.h"
#include "parallel/schedules/schedule_table.h"

namespace strata {

Grid gpipe(const ScheduleShape& shape, int rank) {
  Grid grid;
  for (const CellKind kind : {CellKind::forward, CellKind::backward})
    for (int mb = 0; mb < shape.micro_batches; ++mb)
      grid.push_back({kind, narrow<int16_t>(rank), narrow<int16_t>(mb)});
  return grid;
}

}  // namespace strata
