// SPDX-License-Identifier: Apache-2.0
// How a pass inserts: against the positions of the list as it found it, merged once at the end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/program/program.h"

namespace strata {

class Edits {
 public:
  // Before the entry now at `position` (the length of the list: at the end). Several at one position keep
  // their order.
  void insert(size_t position, const Action& action) { insertions_.push_back({position, action}); }

  void apply(std::vector<Action>& list) {
    std::stable_sort(insertions_.begin(), insertions_.end(),
                     [](const Insertion& a, const Insertion& b) { return a.position < b.position; });
    std::vector<Action> merged;
    merged.reserve(list.size() + insertions_.size());
    size_t next = 0;
    for (size_t i = 0; i <= list.size(); ++i) {
      for (; next < insertions_.size() && insertions_[next].position == i; ++next)
        merged.push_back(insertions_[next].action);
      if (i < list.size()) merged.push_back(list[i]);
    }
    list = std::move(merged);
    insertions_.clear();
  }

 private:
  struct Insertion {
    size_t position;
    Action action;
  };
  std::vector<Insertion> insertions_;
};

}  // namespace strata
