// SPDX-License-Identifier: Apache-2.0
// The walk that follows the copies of a value on several tiers. A copy has the version it was made from or
// changed to; a stale copy does no harm until it is used.
#include <map>

#include "core/program/effects.h"
#include "core/program/list_walk.h"

namespace strata {

namespace {

class TierWalk : ListWalk {
 public:
  using ListWalk::ListWalk;

  void run() {
    for (const Value& value : program_.initial) names_[name_of(value)].at[index(value.tier)] = 0;
    each_action([&](int32_t i, const Action& action) {
      if (action.kind == Kind::free || is_move(action) || action.kind == Kind::commit) return;
      for (const Effect& effect : effects(action, program_.blocks))
        if (writes(effect.access)) ++names_[name_of(effect.value)].writes;
      static_cast<void>(i);
    });
    each_action([&](int32_t i, const Action& action) { step(i, action); });
    for (const Value& value : program_.initial) {
      const Name& name = names_[name_of(value)];
      if (value.cls != ValueClass::map && name.at[index(value.tier)] != name.newest)
        report(name.changed_at, "is the last to change `{}`, and its home keeps an older version", value);
    }
    if (!durable_) report(last_store_, "is followed by no commit: a restart finds the step before");
  }

 private:
  struct Name {
    std::array<int, kNumTiers> at{};  // the version of each tier's copy
    int newest = 0;
    int writes = 0;  // of the whole list
    int32_t changed_at = -1;
  };

  static size_t index(Tier tier) { return static_cast<size_t>(tier); }
  static uint64_t name_of(Value value) {
    value.tier = Tier::device;
    return key(value);
  }

  void step(int32_t i, const Action& action) {
    if (action.kind == Kind::free) return;
    if (is_move(action)) {
      Name& name = names_[name_of(moved_from(action))];
      name.at[index(action.onto)] = name.at[index(action.tier)];
      if (action.onto != Tier::nvme || !persistent(action.cls)) return;
      last_store_ = i;
      if (name.writes > 0) durable_ = false;
      return;
    }
    if (action.kind == Kind::commit) return commit(i);
    for (const Effect& effect : effects(action, program_.blocks)) {
      Name& name = names_[name_of(effect.value)];
      int& copy = name.at[index(effect.value.tier)];
      if (effect.access != Access::create && copy != name.newest)
        report(i, "{} a stale copy of `{}`: {} changed another one", strata::name(effect.access),
               effect.value, line(name.changed_at));
      if (!writes(effect.access)) continue;
      copy = ++name.newest;
      name.changed_at = i;
    }
  }

  // All that is kept on nvme is as the step found it, or as it leaves it.
  void commit(int32_t i) {
    const Value* old = nullptr;
    const Value* fresh = nullptr;
    for (const Value& value : program_.initial) {
      const Name& name = names_[name_of(value)];
      // (A step's gradients that wait there for the next one are nothing that a restart looks for.)
      if (value.tier != Tier::nvme || !persistent(value.cls) || value.cls == ValueClass::map ||
          name.writes == 0)
        continue;
      const int version = name.at[index(Tier::nvme)];
      if (version == 0)
        old = &value;
      else if (version == name.writes)
        fresh = &value;
      else
        return report(i, "makes a half-updated `{}` what a restart finds", value);
    }
    if (old && fresh)
      return report(i, "makes `{}` of this step and `{}` of the step before what a restart finds", *fresh,
                    *old);
    durable_ = true;
  }

  std::map<uint64_t, Name> names_;  // by key, whatever the tier
  int32_t last_store_ = -1;
  bool durable_ = true;  // nothing was stored since the last commit
};

}  // namespace

void check_tiers(const Program& program, const VerifyOptions& options, std::vector<Problem>& problems) {
  TierWalk(program, options, problems).run();
}

}  // namespace strata
