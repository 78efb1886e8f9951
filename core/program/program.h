// SPDX-License-Identifier: Apache-2.0
// A step, or an evaluation, of one rank as a list of actions. The order of the list is its meaning and its
// memory plan: run from top to bottom it is right; lanes may overlap whatever the values permit. Generators
// write it, passes refine it, link() derives the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/program/action.h"
#include "core/program/block_info.h"
#include "core/program/value.h"

namespace strata {

enum class Goal : uint8_t { train, evaluate };
std::string_view name(Goal goal);

// Which order of a sum over micro-batches is part of a program's meaning. `tree`: the balanced binary tree
// over them, the same bits for every number of ranks that they are dealt to (DESIGN section 9).
enum class SumOrder : uint8_t { any, ascending, tree };

// When blocks are updated: behind the step that made their gradients, or in the next one, each right before
// its weights are first used. Gradients and scalars then outlive their step (the gradients are initial
// values) and `begin` comes behind the last update. The first step of all finds nothing to apply: who runs
// the list leaves the updates out then, and runs them alone when somebody wants the weights.
enum class Timing : uint8_t { sync, deferred };

struct Program {
  Goal goal = Goal::train;
  int micro_batches = 1;
  int ranks = 1;                  // of the job: several add up their scalars
  std::vector<BlockInfo> blocks;  // 0 is the embedding, the last one the head with the loss
  std::vector<Action> list;
  std::vector<Value> initial;  // values that exist before the list; the same ones exist after it

  int num_blocks() const { return static_cast<int>(blocks.size()); }
  int head() const { return num_blocks() - 1; }

  friend bool operator==(const Program&, const Program&) = default;
};

// A rewriting of a program. Passes order actions and never write a dependency.
using Pass = std::function<void(Program&)>;

// Throws ContractError when the blocks contradict themselves: fewer than two, a tied block that is not the
// head or is tied to one without parameters or on another rank, a trainable block without parameters, a first
// block that saves for backward_input, twins that do not name each other, levels out of order.
void check_blocks(const Program& program);

// Weights, packed weights, optimizer state of every block of this rank that has them, and the scalars.
// Gathered weights are not among them: they are made for their uses.
std::vector<Value> persistent_values(const Program& program);

// The lowest block that is trained: backwards end there. The number of blocks when there is none.
int lowest_trainable(const Program& program);

// Whether block b's backward_input has a use: a trainable block below it, or its own backward_weight wants
// `deferred`.
bool needs_backward_input(const Program& program, int b);

// The text form: a header, one line per block, the initial values, one line per action. '#' begins a comment.
std::string to_string(const Program& program);
// The inverse, exactly. Throws Error(usage) with the line number.
Program parse_program(std::string_view text);
// The same of a job's pipeline ranks, one behind the other: every header begins the next rank.
std::string to_string(std::span<const Program> job);
std::vector<Program> parse_programs(std::string_view text);

}  // namespace strata
