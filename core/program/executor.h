// SPDX-License-Identifier: Apache-2.0
// Runs a linked program, step after step: one handler per kind of action, one thread per lane (the compute
// lane is the caller's thread), completion counters between them. Nothing is allocated while a step runs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "core/device/stream.h"
#include "core/program/link.h"

namespace strata {

// The bytes of an operand. `data` is null on a tier without addresses and on the meta device.
struct OperandBytes {
  std::byte* data = nullptr;
  int64_t bytes = 0;
};

// First byte of each tier's arena.
using ArenaBases = std::array<std::byte*, kNumTiers>;

// What a handler is given. Valid during the call.
class Invocation {
 public:
  Invocation(const Action& action, int32_t position, Lane lane, int64_t step,
             std::span<const Operand> operands, const ArenaBases& bases, OperandBytes scratch)
      : action_(action),
        position_(position),
        lane_(lane),
        step_(step),
        operands_(operands),
        bases_(bases),
        scratch_(scratch) {}

  const Action& action() const { return action_; }
  int32_t position() const { return position_; }  // in the list
  Lane lane() const { return lane_; }
  int64_t step() const { return step_; }  // counted from 0 by the executor
  std::span<const Operand> operands() const { return operands_; }
  OperandBytes scratch() const { return scratch_; }  // of the lane; the same in every call

  // The operand of that class and block on that tier, of an action that has at most one such; null when it
  // has none. An action between levels (gather, reduce, fold) is asked for the exact value.
  const Operand* find(ValueClass cls, int block, Tier tier = Tier::device) const;
  // The same; throws ContractError when the action has none.
  const Operand& operand(ValueClass cls, int block, Tier tier = Tier::device) const;
  const Operand& operand(const Value& value) const;
  OperandBytes bytes_of(const Operand& operand) const;
  OperandBytes bytes_of(const Value& value) const { return bytes_of(operand(value)); }
  OperandBytes bytes_of(ValueClass cls, int block, Tier tier = Tier::device) const {
    return bytes_of(operand(cls, block, tier));
  }

 private:
  const Action& action_;
  int32_t position_;
  Lane lane_;
  int64_t step_;
  std::span<const Operand> operands_;
  const ArenaBases& bases_;
  OperandBytes scratch_;
};

// Returns when the action is done, or is enqueued where ExecutorOptions::mark and follow keep the order, or,
// on a lane whose actions overlap, has begun and is ended by ExecutorOptions::end. Called on the lane's
// thread, one at a time per lane, several lanes at once. An exception ends the run: no lane starts another
// action.
using Handler = std::function<void(const Invocation&)>;

struct ActionEvent {
  int64_t step = 0;
  int32_t position = 0;  // in the list
  Lane lane = Lane::compute;
  int64_t wait_ns = 0;              // from when the lane was ready for the action to when its waits were over
  Lane waited_for = Lane::compute;  // the lane that took most of it; its own where nothing was waited for
  // Steady clock. Where actions of a lane overlap, from when the one before had ended.
  int64_t begin_ns = 0, end_ns = 0;
};

struct ExecutorOptions {
  // For handlers that enqueue work: a point behind what a lane has enqueued, and making its later work start
  // after such a point of another lane. Called on the lane's thread, where an action of one lane waits for
  // one of another.
  std::function<Event(Lane)> mark;
  std::function<void(Lane, const Event&)> follow;
  std::function<void(const ActionEvent&)> trace;  // after each action, on the lane's thread
  // The same, before anything that waits for the action goes on: what it reads and made lies still, once the
  // lane's stream is done.
  std::function<void(const Invocation&)> inspect;
  std::function<void(int64_t done, int64_t total)> progress;  // after each action of the compute lane
  // Of lanes whose actions overlap: returns when the action that a handler began is done. Called in the order
  // of the lane, for everything that was begun, also when the run has failed elsewhere. Empty: handlers
  // return when it is done.
  Handler end;
  int most_begun = 16;  // of such a lane: actions begun and not ended
  // Tests: every action first sleeps for up to this long, by a keyed random number.
  int64_t max_delay_us = 0;
  uint64_t delay_seed = 0;
};

class Executor {
 public:
  using Handlers = std::array<Handler, kNumKinds>;

  // `linked` and the memory behind `bases` must outlive the executor. A kind that occurs in the list must
  // have a handler. Arenas are used from offset 0 to linked.memory[tier].arena.
  Executor(const LinkedProgram& linked, Handlers handlers, ArenaBases bases, ExecutorOptions options = {});
  ~Executor();  // stops after the actions that are running
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs the list once. Returns when the compute lane has finished it; other lanes may still be at work, and
  // the next step may begin. Rethrows the first failure of any lane; after a failure every call does, and
  // the memory may be touched again only once the executor is gone: another lane may still be inside its
  // handler.
  void run_step();
  // Waits until every lane has finished every step that was begun. Rethrows like run_step.
  void drain();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace strata
