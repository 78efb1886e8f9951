// SPDX-License-Identifier: Apache-2.0
// Random legal programs, random lanes for them, and random ways to spoil them.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/program/grid.h"
#include "core/program/link.h"
#include "core/program/program.h"

namespace strata::random_programs {

using Random = std::mt19937_64;

inline int draw(Random& random, int first, int last) {  // both included; the same on every platform
  return first + static_cast<int>(random() % static_cast<uint64_t>(last - first + 1));
}
inline bool chance(Random& random, int percent) { return draw(random, 0, 99) < percent; }

// Two to six blocks with random properties, one to four micro-batches, one to three stages on the one rank in
// a random legal order of F, B, I and W cells, random recomputation, frees at random places after the last
// use.
Program training(Random& random);
Program evaluation(Random& random);

// All ranks of a job: one to four pipeline ranks with one or two stages each, a random partition, twins
// instead of a tied pair, and frees as free_pass puts them.
struct Job {
  std::vector<Program> programs;
  SumOrder order = SumOrder::ascending;
};
Job job(Random& random);

// Each kind of action on a random lane out of `lanes`, some kinds by block.
LaneMap lanes(Random& random, int count);

// Small sizes in whole cells of 64 bytes, none of them zero; times from 0.5 to 2.5.
class Costs : public CostModel {
 public:
  int64_t bytes(const Value& value) const override {
    return 64 * (1 + static_cast<int64_t>(key(value) * 7 % 5));
  }
  int64_t scratch_bytes(const Action& action) const override { return 64 * (1 + action.block % 2); }
  double seconds(const Action& action) const override {
    return 0.5 + static_cast<double>(
                     (10 + action.block * 5 + action.micro_batch * 3 + static_cast<int>(action.kind)) % 5) /
                     2;
  }
};

// Drops, swaps, duplicates, moves or retargets one action, or flips a field. Says what was done.
std::string spoil(Random& random, Program& program);

// Removes or weakens a wait, lays one buffer over another, or moves an action to another lane without its
// waits.
std::optional<std::string> spoil(Random& random, LinkedProgram& linked);

}  // namespace strata::random_programs
