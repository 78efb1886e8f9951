// SPDX-License-Identifier: Apache-2.0
// Proves, before anything runs, that a program does what a step must do and that its linked form cannot go
// wrong whatever the lanes' timing. See README.md for the list of what is proved.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/program/link.h"
#include "core/program/program.h"

namespace strata {

struct Problem {
  int32_t position = -1;  // in the list; -1 concerns the whole program
  std::string text;       // names the action and the value
};

inline constexpr size_t kMostProblems = 8;  // that are reported: what follows from the first is noise

struct VerifyOptions {
  // The order of sums over micro-batches is part of the meaning, bit for bit.
  SumOrder order = SumOrder::ascending;
  // Bytes each tier has; 0: not checked.
  std::array<int64_t, kNumTiers> limit{};
};

// The list alone: residency, freshness, completeness, order, a closed loop. Empty: it is right. Reports the
// first few.
std::vector<Problem> verify(const Program& program, const VerifyOptions& options = {});
// The list and its linked form: operands, addresses, overlaps, every hazard covered by waits, no cycle,
// limits.
std::vector<Problem> verify(const LinkedProgram& linked, const VerifyOptions& options = {});

// The programs of all pipeline ranks of a job, each as above, and together: every block is held once, every
// message has its one counterpart of the same size at the rank it names, and no merging of lanes that the
// links chose lets ranks wait for each other for ever. `rank` of a problem is the program it is about.
struct JobProblem {
  int rank = -1;
  Problem problem;
};
std::vector<JobProblem> verify_job(std::span<const LinkedProgram> programs,
                                   const VerifyOptions& options = {});
std::string explain(std::span<const LinkedProgram> programs, const std::vector<JobProblem>& problems);

// Problems as text, each with the lines around it and the grid of its block and micro-batch.
std::string explain(const Program& program, const std::vector<Problem>& problems);
// Throws ContractError with explain() when there is a problem, Error(memory) when only a limit is exceeded.
void require_verified(const LinkedProgram& linked, const VerifyOptions& options = {});
void require_verified(std::span<const LinkedProgram> programs, const VerifyOptions& options = {});

}  // namespace strata
