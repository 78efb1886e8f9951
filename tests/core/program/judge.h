// SPDX-License-Identifier: Apache-2.0
// The judge of the verifier: an interpreter that knows nothing of effects, frees, waits or addresses. A value
// is what went into it, as a hash: an activation the things it was computed from, a sum the contributions
// added to it. A program is right when the persistent values come out as those of a plain loop over
// micro-batches and blocks.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "core/program/program.h"

namespace strata::judge {

using Content = std::array<uint64_t, 4>;

// Thrown by an access that finds no such value, or makes one that exists.
struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Where an interpreted action finds its values. `make` is for a value that must not exist yet, `change` for
// one that must.
class Values {
 public:
  virtual ~Values() = default;
  virtual Content get(const Value& value) = 0;
  virtual void make(const Value& value, const Content& content) = 0;
  virtual void change(const Value& value, const Content& content) = 0;
};

struct Rules {
  SumOrder order = SumOrder::ascending;  // but for `any`, sums remember how they were added up

  bool ordered() const { return order != SumOrder::any; }
};

// What the action does. `step` is part of the token batch that block 0 reads.
void apply(const Action& action, const Program& program, int64_t step, Rules rules, Values& values);

// The content of an initial value before the first step.
Content initial_content(const Value& value);

using Contents = std::unordered_map<uint64_t, Content>;

// The persistent values after so many steps of the plain loop, and the last step's gradients.
Contents reference(const Program& program, int steps, Rules rules);

// Empty when the list, run from top to bottom, does one step right and leaves exactly the initial values;
// else why not.
std::string judge_list(const Program& program, Rules rules);

// The same for the lists of all pipeline ranks, run side by side: messages bring what was sent, scalars are
// added up over all of them.
std::string judge_job(std::span<const Program> programs, Rules rules);

}  // namespace strata::judge
