// SPDX-License-Identifier: Apache-2.0
// What the walks of the proof about a list have in common. Part of verify().
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "core/program/verify.h"

namespace strata {

class ListWalk {
 public:
  // The references must outlive this; what is found is added to `problems`, the first few.
  ListWalk(const Program& program, const VerifyOptions& options, std::vector<Problem>& problems)
      : program_(program), options_(options), problems_(problems) {}

 protected:
  template <typename... Args>
  void report(int32_t position, fmt::format_string<Args...> text, Args&&... args) {
    if (problems_.size() >= kMostProblems) return;
    std::string message = fmt::format(text, std::forward<Args>(args)...);
    if (position >= 0) message = fmt::format("action {} `{}` {}", position, at(position), message);
    problems_.push_back({position, std::move(message)});
  }
  const Action& at(int32_t position) const { return program_.list[static_cast<size_t>(position)]; }
  const BlockInfo& block(int b) const { return program_.blocks[static_cast<size_t>(b)]; }
  template <typename Visit>
  void each_action(Visit visit) {
    for (int32_t i = 0; i < static_cast<int32_t>(program_.list.size()); ++i) visit(i, at(i));
  }
  std::string line(int32_t position) const {
    return position < 0 ? "the start" : fmt::format("action {} `{}`", position, at(position));
  }

  const Program& program_;
  const VerifyOptions& options_;
  std::vector<Problem>& problems_;
};

// Accumulators hold all their contributions before they are read, over micro-batches, ranks and twins, and in
// the order that the options ask for. The list must be well formed.
void check_sums(const Program& program, const VerifyOptions& options, std::vector<Problem>& problems);

// Copies on several tiers: what is used is the newest, homes hold the newest at the end, and what a restart
// finds on nvme is a whole step's. The list must be well formed.
void check_tiers(const Program& program, const VerifyOptions& options, std::vector<Problem>& problems);

}  // namespace strata
