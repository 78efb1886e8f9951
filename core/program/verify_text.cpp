// SPDX-License-Identifier: Apache-2.0
// Problems as a person reads them: the message, the lines around it, and the grid of blocks and
// micro-batches.
#include <fmt/format.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/program/verify.h"

namespace strata {

namespace {

// Which actions a (block, micro-batch) has, as letters: F forward, R recompute, I and W the backwards, L
// loss.
std::string cell(const Program& program, int b, int mb) {
  std::string letters;
  for (const Action& action : program.list) {
    if (action.block != b || action.micro_batch != mb) continue;
    switch (action.kind) {
      case Kind::forward:
        letters += 'F';
        break;
      case Kind::recompute:
        letters += 'R';
        break;
      case Kind::backward_input:
        letters += 'I';
        break;
      case Kind::backward_weight:
        letters += 'W';
        break;
      case Kind::loss:
      case Kind::loss_only:
        letters += 'L';
        break;
      default:
        break;
    }
  }
  return letters.empty() ? "." : letters;
}

// The grid around one cell, which is marked.
std::string grid(const Program& program, int b, int mb) {
  constexpr int kReach = 3;
  const int first_b = std::max(0, b - kReach), last_b = std::min(program.head(), b + kReach);
  const int first_mb = std::max(0, mb - kReach), last_mb = std::min(program.micro_batches - 1, mb + kReach);
  std::string text = "    block ";
  for (int column = first_b; column <= last_b; ++column) text += fmt::format("{:>6}", column);
  for (int row = first_mb; row <= last_mb; ++row) {
    text += fmt::format("\n    mb {:>3}    ", row);
    for (int column = first_b; column <= last_b; ++column) {
      std::string letters = cell(program, column, row);
      if (column == b && row == mb) letters = fmt::format("[{}]", letters);
      text += fmt::format("{:>6}", letters);
    }
  }
  return text + "\n";
}

}  // namespace

std::string explain(const Program& program, const std::vector<Problem>& problems) {
  constexpr int32_t kAround = 3;
  std::string text;
  for (const Problem& problem : problems) {
    text += problem.text + "\n";
    if (problem.position < 0) continue;
    const auto last = static_cast<int32_t>(program.list.size()) - 1;
    for (int32_t i = std::max(0, problem.position - kAround); i <= std::min(last, problem.position + kAround);
         ++i)
      text += fmt::format("  {} {:>6}  {}\n", i == problem.position ? '>' : ' ', i,
                          program.list[static_cast<size_t>(i)]);
    const Action& action = program.list[static_cast<size_t>(problem.position)];
    if (action.block >= 0 && action.micro_batch >= 0) text += grid(program, action.block, action.micro_batch);
  }
  return text;
}

void require_verified(const LinkedProgram& linked, const VerifyOptions& options) {
  require_verified(std::span(&linked, 1), options);
}

void require_verified(std::span<const LinkedProgram> programs, const VerifyOptions& options) {
  VerifyOptions without_limit = options;
  without_limit.limit = {};
  const std::vector<JobProblem> wrong = verify_job(programs, without_limit);
  check(wrong.empty(), "[verify] the program is refused:\n{}", explain(programs, wrong));
  for (const LinkedProgram& linked : programs)
    for (size_t t = 0; t < kNumTiers; ++t) {
      if (options.limit[t] <= 0 || linked.memory[static_cast<Tier>(t)].arena <= options.limit[t]) continue;
      const std::vector<Problem> full = verify(linked, options);
      throw Error(
          Fault::memory,
          {.what = "the step does not fit into memory",
           .where = fmt::format("memory of tier {}", name(static_cast<Tier>(t))),
           .found = explain(linked.program, full) + to_string(linked.memory),
           .expected = fmt::format("at most {} bytes", options.limit[t]),
           .fix = "smaller micro-batches, recomputation of more blocks, or more state on a slower tier"});
    }
}

}  // namespace strata
