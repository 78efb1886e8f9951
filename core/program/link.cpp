// SPDX-License-Identifier: Apache-2.0
#include "core/program/link.h"

#include <algorithm>
#include <unordered_map>

#include "core/base/check.h"
#include "core/device/buffer.h"
#include "core/program/arena.h"
#include "core/program/waits.h"

namespace strata {

const PlannedBuffer& LinkedProgram::home(const Value& value) const {
  const auto begin = program.initial.begin();
  const auto at = std::find(begin, program.initial.end(), value);
  check(at != program.initial.end(), "[link] `{}` is not an initial value", value);
  return buffers[static_cast<size_t>(at - begin)];
}

namespace {

class Linker {
 public:
  Linker(LinkedProgram& linked, const CostModel& costs, const LinkOptions& options)
      : linked_(linked), program_(linked.program), costs_(costs), options_(options) {}

  void run() {
    assign_lanes();
    rename();
    for (int tier = 0; tier < kNumTiers; ++tier) place(static_cast<Tier>(tier));
    for (Operand& operand : linked_.operands) operand.offset = buffer(operand).offset;
    derive_waits(linked_);
  }

 private:
  void assign_lanes() {
    linked_.actions.resize(program_.list.size());
    for (int lane = 0; lane < kNumLanes; ++lane)
      linked_.scratch[static_cast<size_t>(lane)].tier = scratch_tier(static_cast<Lane>(lane));
    for (size_t i = 0; i < program_.list.size(); ++i) {
      const Action& action = program_.list[i];
      if (action.kind == Kind::free) continue;
      LinkedAction& linked = linked_.actions[i];
      linked.runs = true;
      linked.lane = options_.lane_of(action);
      auto& lane = linked_.lanes[static_cast<size_t>(linked.lane)];
      linked.sequence = static_cast<int32_t>(lane.size());
      lane.push_back(static_cast<int32_t>(i));
      int64_t& scratch = linked_.scratch[static_cast<size_t>(linked.lane)].bytes;
      scratch = std::max(scratch, costs_.scratch_bytes(action));
    }
  }

  // Every creation of a name becomes a buffer; the creation of an initial value is that value's own buffer
  // again.
  void rename() {
    const auto length = static_cast<int32_t>(program_.list.size());
    live_.reserve(program_.initial.size() * 2);
    for (const Value& value : program_.initial) {
      check(!live_.contains(key(value)), "[link] initial value `{}` is listed twice", value);
      homes_[key(value)] = live_[key(value)] = add_buffer(value, -1, length);
    }
    linked_.operands.reserve(program_.list.size() * 6);
    for (int32_t i = 0; i < length; ++i) {
      const Action& action = program_.list[static_cast<size_t>(i)];
      LinkedAction& linked = linked_.actions[static_cast<size_t>(i)];
      linked.first_operand = static_cast<int32_t>(linked_.operands.size());
      for (const Effect& effect : effects(action, program_.blocks)) add_operand(i, action, effect);
      linked.num_operands = static_cast<int32_t>(linked_.operands.size()) - linked.first_operand;
    }
    for (const Value& value : program_.initial)
      check(live_.contains(key(value)), "[link] initial value `{}` does not exist at the end", value);
  }

  int32_t add_buffer(const Value& value, int32_t begin, int32_t end) {
    linked_.buffers.push_back({.value = value, .bytes = costs_.bytes(value), .begin = begin, .end = end});
    return static_cast<int32_t>(linked_.buffers.size()) - 1;
  }

  void add_operand(int32_t position, const Action& action, const Effect& effect) {
    const uint64_t name = key(effect.value);
    const auto at = live_.find(name);
    const bool exists = at != live_.end();
    check(exists != (effect.access == Access::create), "[link] action {} `{}` {} `{}`, which {}", position,
          action, strata::name(effect.access), effect.value, exists ? "exists already" : "does not exist");
    int32_t index;
    if (exists) {
      index = at->second;
    } else {
      const auto home = homes_.find(name);
      index = home != homes_.end()
                  ? home->second
                  : add_buffer(effect.value, position, static_cast<int32_t>(program_.list.size()));
      live_[name] = index;
    }
    PlannedBuffer& buffer = linked_.buffers[static_cast<size_t>(index)];
    if (effect.access == Access::free) {
      if (buffer.begin >= 0) buffer.end = position;
      live_.erase(at);
    }
    linked_.operands.push_back({effect.value, effect.access, index, 0, buffer.bytes});
  }

  PlannedBuffer& buffer(const Operand& operand) {
    return linked_.buffers[static_cast<size_t>(operand.buffer)];
  }

  void place(Tier tier) {
    const int64_t budget = options_.budget[static_cast<size_t>(tier)];
    place_within(tier, budget);
    // Room for lanes is a wish, the budget is not: as small as possible when the wish does not fit.
    if (budget > 0 && linked_.memory[tier].arena > budget) place_within(tier, 0);
  }

  void place_within(Tier tier, int64_t budget) {
    Arena arena(budget);
    MemoryReport::TierUse& use = linked_.memory[tier] = {};
    int64_t live = 0;
    std::array<int64_t, kNumValueClasses> by_class{};
    const auto count = [&](const PlannedBuffer& buffer, int sign) {
      const int64_t bytes = sign * round_up(buffer.bytes, kTensorAlignment);
      live += bytes;
      by_class[static_cast<size_t>(buffer.value.cls)] += bytes;
    };
    const auto note_peak = [&](int32_t position) {
      if (live <= use.live_peak) return;
      use.live_peak = live;
      use.peak_at = position;
      use.by_class = by_class;
    };
    for (PlannedBuffer& buffer : linked_.buffers) {
      if (buffer.begin >= 0 || buffer.value.tier != tier) continue;
      buffer.offset = arena.place(buffer.bytes, costs_.alignment(buffer.value));
      count(buffer, 1);
    }
    // Behind the initial values, so that programs over the same ones agree on their addresses.
    for (ScratchRegion& region : linked_.scratch) {
      if (region.tier != tier) continue;
      region.offset = arena.place(region.bytes);
      use.scratch += round_up(region.bytes, kTensorAlignment);
    }
    live += use.scratch;
    note_peak(-1);
    for (int32_t i = 0; i < static_cast<int32_t>(program_.list.size()); ++i) {
      for (const Operand& operand : linked_.operands_of(i)) {
        PlannedBuffer& buffer = this->buffer(operand);
        if (buffer.value.tier != tier || buffer.begin < 0) continue;
        if (operand.access == Access::create) {
          buffer.offset = arena.place(buffer.bytes, costs_.alignment(buffer.value));
          count(buffer, 1);
        } else if (operand.access == Access::free) {
          arena.release(buffer.offset, buffer.bytes);
          count(buffer, -1);
        }
      }
      note_peak(i);
    }
    use.arena = arena.high_water();
  }

  LinkedProgram& linked_;
  const Program& program_;
  const CostModel& costs_;
  const LinkOptions& options_;
  std::unordered_map<uint64_t, int32_t> live_;   // name -> buffer
  std::unordered_map<uint64_t, int32_t> homes_;  // initial name -> buffer
};

}  // namespace

LinkedProgram link(Program program, const CostModel& costs, const LinkOptions& options) {
  LinkedProgram linked;
  linked.program = std::move(program);
  check_blocks(linked.program);
  Linker(linked, costs, options).run();
  return linked;
}

}  // namespace strata
