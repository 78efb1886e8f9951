// SPDX-License-Identifier: Apache-2.0
// Turns a program into something that runs: every creation of a name gets its own buffer (as a processor
// renames registers), every buffer an address in the arena of its tier, every action the waits that the
// hazards on values and on reused memory demand. The list is linked after a copy of itself, so a step may
// begin while the last one ends; addresses are the same in every step.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/program/cost_model.h"
#include "core/program/effects.h"
#include "core/program/lane.h"
#include "core/program/program.h"

namespace strata {

// One life of a value.
struct PlannedBuffer {
  Value value;
  int64_t offset = 0;  // in the arena of value.tier, a multiple of kTensorAlignment
  int64_t bytes = 0;   // as the cost model gave it
  int32_t begin = -1;  // list position of its creation; -1: exists before the list
  int32_t end = -1;    // list position of its free; the length of the list: exists after it
};

struct Operand {
  Value value;
  Access access = Access::read;
  int32_t buffer = -1;
  int64_t offset = 0;  // copies of the buffer's, so that a handler needs one look
  int64_t bytes = 0;
};

// Stores count into the map in any order: those of one lane need not wait for each other.
inline bool commutes(const Operand& operand) {
  return operand.value.cls == ValueClass::map && operand.access == Access::accumulate;
}

// Until the action with this sequence number on this lane is done, in this step or in the one before.
struct Wait {
  Lane lane = Lane::compute;
  bool previous_step = false;
  int32_t sequence = 0;

  friend bool operator==(const Wait&, const Wait&) = default;
};

struct LinkedAction {
  bool runs = false;  // false: a free, on no lane
  Lane lane = Lane::compute;
  int32_t sequence = -1;  // on its lane
  int32_t first_operand = 0, num_operands = 0;
  int32_t first_wait = 0, num_waits = 0;
};

// Working memory shared by all actions of one lane.
struct ScratchRegion {
  Tier tier = Tier::device;
  int64_t offset = 0;
  int64_t bytes = 0;
};

struct MemoryReport {
  struct TierUse {
    int64_t arena = 0;      // bytes the tier's arena needs
    int64_t live_peak = 0;  // most bytes of live values and scratch at once, each rounded to the alignment
    int32_t peak_at = -1;   // list position of that moment
    int64_t scratch = 0;
    std::array<int64_t, kNumValueClasses> by_class{};  // at that moment
  };
  std::array<TierUse, kNumTiers> tiers;

  const TierUse& operator[](Tier tier) const { return tiers[static_cast<size_t>(tier)]; }
  TierUse& operator[](Tier tier) { return tiers[static_cast<size_t>(tier)]; }
};
std::string to_string(const MemoryReport& report);  // a table by tier and class, binary units

struct LinkedProgram {
  Program program;
  std::vector<PlannedBuffer> buffers;  // initial values first, in their order
  std::vector<LinkedAction> actions;   // one per entry of program.list
  std::vector<Operand> operands;
  std::vector<Wait> waits;
  std::array<std::vector<int32_t>, kNumLanes> lanes;  // list positions, in list order
  std::array<ScratchRegion, kNumLanes> scratch;
  MemoryReport memory;

  std::span<const Operand> operands_of(int32_t position) const {
    const LinkedAction& a = actions[static_cast<size_t>(position)];
    return {operands.data() + a.first_operand, static_cast<size_t>(a.num_operands)};
  }
  std::span<const Wait> waits_of(int32_t position) const {
    const LinkedAction& a = actions[static_cast<size_t>(position)];
    return {waits.data() + a.first_wait, static_cast<size_t>(a.num_waits)};
  }
  // Where an initial value lives, in every step, and in every program linked with the same initial values and
  // sizes. Throws ContractError when it is not one.
  const PlannedBuffer& home(const Value& value) const;
};

struct LinkOptions {
  LaneMap lane_of = default_lane;
  // Up to this many bytes of a tier's arena, memory is reused in the order in which it was freed, so that
  // lanes do not wait for each other's memory. 0: as little memory as possible.
  std::array<int64_t, kNumTiers> budget{};
};

// Throws ContractError naming the action when the list does not hold together (a value read that does not
// exist); verify() gives the full account.
LinkedProgram link(Program program, const CostModel& costs, const LinkOptions& options = {});

}  // namespace strata
