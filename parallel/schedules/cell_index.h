// SPDX-License-Identifier: Apache-2.0
// Where the cells of a schedule stand, which cell of another stage a cell waits for, and the one walk over
// them that the checker and the time line share.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "parallel/schedules/schedule.h"

namespace strata {

struct Place {
  int rank = -1;
  int position = -1;  // in the rank's grid; its size: behind the last cell

  explicit operator bool() const { return rank >= 0; }
  friend bool operator==(const Place&, const Place&) = default;
};

class CellIndex {
 public:
  // Keeps the first of equal cells, and skips cells whose stage or micro-batch the schedule has not.
  explicit CellIndex(const Schedule& schedule);

  Place find(CellKind kind, int stage, int micro_batch) const;
  // The backward that the stage before waits for: B or I.
  Place backward(int stage, int micro_batch) const;
  // The cell of a neighbouring stage that must end before `cell` begins; none at the ends of the pipeline and
  // for W. What a cell needs of its own stage stands on its own rank: there the order of the list counts.
  Place awaited(const Cell& cell) const;

 private:
  Place& at(CellKind kind, int stage, int micro_batch);

  int stages_, micro_batches_;
  std::array<std::vector<Place>, 4> places_;  // by kind, then stage and micro-batch
};

// Visits the cells in an order in which they can run, every rank's in the order of its list, each behind what
// it awaits. Returns how far each rank came: less than its grid's size when it waits for ever.
std::vector<int> walk_cells(const Schedule& schedule, const CellIndex& index,
                            const std::function<void(Place)>& visit);

}  // namespace strata
