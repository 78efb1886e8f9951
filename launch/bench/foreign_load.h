// SPDX-License-Identifier: Apache-2.0
// How much CPU time others used while a benchmark ran. A figure taken on a busy machine is not a result.
#pragma once

#include <string>

namespace strata {

class ForeignLoad {
 public:
  ForeignLoad();  // starts watching

  // Cores that processes other than this one and its ended children kept busy on average since construction;
  // negative where the system does not say (no /proc/stat). Counted in ticks of 10 ms: watch for a second or
  // more.
  double cores() const;

 private:
  struct Sample {
    double wall_s;
    double busy_s;  // of all processes on all cores; negative: unknown
    double own_s;   // of this process and its ended children
  };
  static Sample sample();

  Sample start_;
};

// Above this many foreign cores a benchmark calls its own figures inconclusive.
inline constexpr double kQuietCores = 0.1;
// The line that says so; empty where they were few enough. Negative: not known.
std::string inconclusive(double foreign_cores);

}  // namespace strata
