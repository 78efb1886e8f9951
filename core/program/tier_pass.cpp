// SPDX-License-Identifier: Apache-2.0
// Moves of the values that are not at home on the device, around runs of their uses. Weights are wanted by
// whatever computes with them, optimizer state by its update, inputs of blocks by forward and, much later, by
// what comes back; gradients by each addition, the norm and the update.
#include <algorithm>
#include <map>

#include "core/base/check.h"
#include "core/program/edits.h"
#include "core/program/effects.h"
#include "core/program/passes.h"

namespace strata {
namespace {

// What comes back to a block, after its forward and whatever sent or received its input.
bool comes_back(Kind kind) {
  return kind == Kind::recompute || kind == Kind::backward_input || kind == Kind::backward_weight;
}

// One class of values in the order of their uses, as the list stood before.
class Travels {
 public:
  // Loads of the first runs go to `start`.
  Travels(const Program& program, const TierOptions& options, size_t start, Edits& edits)
      : program_(program), options_(options), start_(start), edits_(edits) {}

  void of(ValueClass cls) {
    runs_.clear();
    newest_.clear();
    for (size_t i = 0; i < program_.list.size(); ++i)
      for (const Effect& effect : effects(program_.list[i], program_.blocks)) {
        const Value& value = effect.value;
        if (cls == ValueClass::weight && value.cls == ValueClass::packed) use_packed(value.block, i);
        if (value.cls == cls && travels(value)) use(value, i, effect.access);
      }
    // In this order where they meet.
    for (const Run& run : runs_) store(run);
    for (size_t k = 0; k < runs_.size(); ++k) load(k);
    for (const Run& run : runs_) pack(run);
  }

 private:
  struct Run {
    Value value;                   // on the device
    size_t first, last;            // list positions of its uses
    size_t seen_at = 0;            // how many runs there were at its last use
    size_t behind = 0;             // where the run of the value before this one is over
    Tier farthest = Tier::device;  // that it was on before, and goes to
    bool of_backward = false;
    bool changed = false;
    bool made_here = false;   // by its first use
    bool comes_back = false;  // there is a later run of the value
    bool packed = false;
    size_t first_packed = 0;  // its first use in packed form
  };

  const BlockInfo& block(int b) const { return program_.blocks[static_cast<size_t>(b)]; }
  bool travels(const Value& value) const { return value.block >= 0 && block(value.block).travels(value); }
  bool is_codes(const Value& value) const {
    return value.cls == ValueClass::x && block(value.block).x_quantized;
  }
  // The tiers that a run's value passes on its way to the device, the farthest first. Codes are made, and
  // made values again, between host and device.
  std::vector<Tier> way_up(const Run& run) const {
    const bool by_host = options_.through_host || is_codes(run.value);
    if (run.farthest == Tier::nvme && by_host) return {Tier::nvme, Tier::host, Tier::device};
    return {run.farthest, Tier::device};
  }
  // Whether the value of an earlier run, used now, would be on its way again before, or just as, it had gone.
  bool is_near(const Run& run) const {
    return runs_.size() - run.seen_at <= static_cast<size_t>(options_.prefetch) * (way_up(run).size() - 1);
  }
  // What is near stays. But which inputs are rounded must not depend on how far ahead loads are: all that
  // codes stand for is made of them when it comes back, and not before.
  bool stays(const Run& run, Kind user) const {
    if (is_codes(run.value) && comes_back(user) != run.of_backward) return false;
    if (is_codes(run.value) && !run.of_backward) return true;
    return is_near(run);
  }

  void use(const Value& value, size_t position, Access access) {
    const Kind user = program_.list[position].kind;
    const auto [at, fresh] = newest_.try_emplace(key(value), runs_.size());
    const bool anew = access == Access::create;
    if (fresh || anew || !stays(runs_[at->second], user)) {
      Run run{.value = value,
              .first = position,
              .last = position,
              .farthest = block(value.block).home(value.cls),
              .of_backward = comes_back(user),
              .made_here = anew};
      if (!fresh && !anew) {
        Run& before = runs_[at->second];
        before.comes_back = true;
        if (is_near(before)) before.farthest = Tier::host;  // a drive would keep it waiting
        run.behind = before.last + 1;
        run.farthest = before.farthest;
      }
      at->second = runs_.size();
      runs_.push_back(run);
    }
    Run& run = runs_[at->second];
    run.last = position;
    run.seen_at = runs_.size();
    run.changed |= writes(access);
  }

  // (Effects name weights before their packed form.)
  void use_packed(int b, size_t position) {
    const BlockInfo& owner = block(b);
    if (owner.weight_level > 0 || owner.keeps_packed()) return;
    const auto at = newest_.find(key({.cls = ValueClass::weight, .block = static_cast<int16_t>(b)}));
    if (at == newest_.end() || runs_[at->second].packed) return;
    runs_[at->second].packed = true;
    runs_[at->second].first_packed = position;
  }

  // Whole weights that were loaded are packed as they are first used in that form.
  void pack(const Run& run) {
    if (run.packed) edits_.insert(run.first_packed, {.kind = Kind::pack, .block = run.value.block});
  }

  void load(size_t k) {
    const Run& run = runs_[k];
    if (run.made_here) return;
    const std::vector<Tier> way = way_up(run);
    for (size_t hop = 0; hop + 1 < way.size(); ++hop) {
      const size_t lead = static_cast<size_t>(options_.prefetch) * (way.size() - 1 - hop);
      Value from = run.value;
      from.tier = way[hop];
      edits_.insert(std::max(k >= lead ? runs_[k - lead].first : start_, run.behind),
                    move_of(from, way[hop + 1]));
    }
  }

  void store(const Run& run) {
    if (!run.changed || (!outlives_step(run.value) && !run.comes_back)) return;
    const std::vector<Tier> way = way_up(run);
    for (size_t hop = way.size() - 1; hop > 0; --hop) {
      Value from = run.value;
      from.tier = way[hop];
      edits_.insert(run.last + 1, move_of(from, way[hop - 1]));
    }
  }

  // What the next step finds, gradients of a deferred update among it.
  bool outlives_step(Value value) const {
    value.tier = block(value.block).home(value.cls);
    return std::find(program_.initial.begin(), program_.initial.end(), value) != program_.initial.end();
  }

  const Program& program_;
  const TierOptions& options_;
  size_t start_;
  Edits& edits_;
  std::vector<Run> runs_;
  std::map<uint64_t, size_t> newest_;  // run of a value
};

}  // namespace

Pass tier_pass(TierOptions options) {
  return [options](Program& program) {
    check(options.prefetch >= 0, "[tier_pass] a prefetch of {} uses", options.prefetch);
    Edits edits;
    const auto first = [&](Kind kind) {
      const auto at = std::find_if(program.list.begin(), program.list.end(),
                                   [&](const Action& a) { return a.kind == kind; });
      return static_cast<size_t>(at - program.list.begin());
    };
    const size_t start = first(Kind::begin) == 0 ? 1 : 0;
    Travels of_blocks(program, options, std::min(start, program.list.size()), edits);
    of_blocks.of(ValueClass::weight);
    of_blocks.of(ValueClass::x);
    of_blocks.of(ValueClass::grad);
    // Where the updates are deferred, they come before the norms.
    Travels of_state(program, options, std::min(first(Kind::norm), start == 0 ? 0 : program.list.size()),
                     edits);
    of_state.of(ValueClass::master);
    of_state.of(ValueClass::moments);
    edits.apply(program.list);
    const auto to_nvme = [](const Action& a) {
      return a.kind == Kind::store && a.onto == Tier::nvme && persistent(a.cls);
    };
    const auto last = std::find_if(program.list.rbegin(), program.list.rend(), to_nvme);
    if (last == program.list.rend()) return;
    // A deferred update is whole long before its list ends.
    program.list.insert(start == 0 ? last.base() : program.list.end(), {.kind = Kind::commit});
  };
}

}  // namespace strata
