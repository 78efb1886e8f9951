// SPDX-License-Identifier: Apache-2.0
// `strata bisect A B`: runs or reads two sides, compares them, and looks at the first difference again,
// element by element.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/bisect/compare.h"
#include "launch/bisect/recorded_run.h"

namespace strata {

// Either a configuration with overrides (key=value), or a file that log.record wrote.
struct BisectSide {
  std::string file;
  std::vector<std::string> overrides;
  Interference interference;  // for tests
};

struct BisectOptions {
  int64_t steps = 1;                // that configurations run
  std::optional<double> tolerance;  // relative; nothing: default_tolerance()
};

// The first difference, from a second run of both sides that keeps its elements. Possible when both are
// configurations.
struct CloseLook {
  int64_t elements = 0, differ = 0;  // of all copies in B; in their bits
  double distance = 0, norm = 0;     // |a - b| of the whole (of copies: the farthest), and |a|
  uint64_t index = 0;                // where they are farthest apart
  double a = 0, b = 0;               // there
  std::vector<int> ranks;            // of B, that have what differs by more than was allowed
  std::string action;                // of the first of them
  bool repeats = true;               // both runs did what they had done before
};

struct Bisection {
  RunHeader a, b;
  double tolerance = 0;
  Comparison comparison;
  int64_t width = 1;  // of the tensor of the first difference, in a row
  std::optional<CloseLook> close;
};

// Throws Error for what cannot be read, run or compared.
Bisection bisect(const BisectSide& a, const BisectSide& b, const BisectOptions& options = {});

// For people; ends with a line end.
std::string to_text(const Bisection& bisection);

}  // namespace strata
