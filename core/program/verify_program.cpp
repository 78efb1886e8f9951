// SPDX-License-Identifier: Apache-2.0
// The proof about the list alone. Walks with one idea each: every value exists when it is used and the set of
// values closes on itself; weights and their packed form are the right version; everything is done once. Sums
// have a walk of their own (verify_sums.cpp).
#include <fmt/format.h>

#include <map>
#include <optional>
#include <unordered_map>

#include "core/base/check.h"
#include "core/program/effects.h"
#include "core/program/list_walk.h"

namespace strata {

namespace {

class Checker : ListWalk {
 public:
  using ListWalk::ListWalk;

  void run() {
    try {
      check_blocks(program_);
    } catch (const ContractError& error) {
      problems_.push_back({-1, error.what()});
      return;
    }
    if (!well_formed()) return;  // the rest indexes by block and micro-batch
    residency();
    freshness();
    completeness();
    check_tiers(program_, options_, problems_);
    check_sums(program_, options_, problems_);
  }

 private:
  // Every action names a block and micro-batch that has such an action.
  bool well_formed() {
    const int head = program_.head();
    each_action([&](int32_t i, const Action& a) {
      const KindInfo& fields = info(a.kind);
      if (a.kind == Kind::free) return;
      if (is_move(a)) {
        if (a.tier == a.onto || a != move_of(moved_from(a), a.onto)) report(i, "is not a move between tiers");
        if (takes_codes_for_values(a))
          report(i, "skips the host: codes and values are made of each other between it and the device");
        return;
      }
      const Action plain{.kind = a.kind,
                         .block = fields.block ? a.block : int16_t{-1},
                         .micro_batch = fields.micro_batch ? a.micro_batch : int16_t{-1},
                         .peer = fields.peer ? a.peer : int16_t{-1},
                         .slot = fields.slot ? a.slot : int16_t{-1},
                         .with = fields.with ? a.with : int16_t{-1},
                         .keep = fields.keep ? a.keep : Keep::save,
                         .write = fields.write ? a.write : Write::accumulate,
                         .cls = fields.cls ? a.cls : ValueClass::x,
                         .level = fields.levels ? a.level : uint8_t{0},
                         .to = fields.levels ? a.to : uint8_t{0}};
      if (a != plain) return report(i, "carries a field that its kind does not have");
      if (fields.block && (a.block < 0 || a.block > head))
        return report(i, "names a block outside 0 to {}", head);
      if (fields.micro_batch && (a.micro_batch < 0 || a.micro_batch >= program_.micro_batches))
        return report(i, "names a micro-batch outside 0 to {}", program_.micro_batches - 1);
      if (!allowed(a)) report(i, "is not an action of this block in this program");
    });
    return problems_.empty();
  }

  bool takes_codes_for_values(const Action& a) const {
    if (a.block < 0 || a.block > program_.head() || a.tier == Tier::host || a.onto == Tier::host)
      return false;
    const BlockInfo& block = program_.blocks[static_cast<size_t>(a.block)];
    return block.is_quantized(moved_from(a)) != block.is_quantized(moved_to(a));
  }

  bool allowed(const Action& a) const {
    const bool train = program_.goal == Goal::train;
    const int head = program_.head();
    switch (a.kind) {
      case Kind::begin:
      case Kind::free:
      case Kind::load:
      case Kind::store:
        return true;
      case Kind::commit:
        return train;
      case Kind::gather:
        return block(a.block).holds_weights() && block(a.block).weight_level > 0;
      case Kind::forward:
        return a.block != head && block(a.block).here;
      case Kind::recompute:
        return train && a.block != head && block(a.block).here;
      case Kind::backward_input:
        return train && a.block > 0 && a.block != head && block(a.block).here;
      case Kind::backward_weight:
        return train && a.block != head && block(a.block).trains();
      case Kind::loss:
        return train && a.block == head && block(a.block).here;
      case Kind::loss_only:
        return !train && a.block == head && block(a.block).here;
      case Kind::send:
        return a.peer >= 0 && a.block > 0 && block(a.cls == ValueClass::x ? a.block - 1 : a.block).here;
      case Kind::receive:
        return a.peer >= 0 && a.block > 0 && block(a.cls == ValueClass::x ? a.block : a.block - 1).here;
      case Kind::reduce: {
        const BlockInfo& info = block(a.block);
        return train && info.trains() && a.slot < program_.micro_batches &&
               ((a.level < a.to && a.level == 0 && a.to == info.grad_level) ||
                (a.level < a.to && a.level == info.grad_level && a.to == info.state_level) ||
                (a.level == a.to && a.level == info.state_level && info.replicated));
      }
      case Kind::complete:
        return train && block(a.block).trains() && block(a.block).partial;
      case Kind::fold:
        return train && block(a.block).trains() && a.slot != a.with && a.slot < program_.micro_batches &&
               a.with < program_.micro_batches;
      case Kind::tie: {
        const BlockInfo& info = block(a.block);
        if (!train || !info.trains() || info.twin < 0) return false;
        return (a.peer < 0) == block(info.twin).here;
      }
      case Kind::norm:
      case Kind::update:
        return train && block(a.block).trains();
      case Kind::spread:
        return train && block(a.block).trains() && block(a.block).state_level > block(a.block).weight_level;
      case Kind::total:
        return program_.ranks > 1;
      case Kind::clip:
        return train;
      case Kind::pack:
        return block(a.block).holds_weights() && block(a.block).packed &&
               (train || !block(a.block).keeps_packed());
    }
    return false;
  }

  void residency() {
    struct Life {
      bool exists = false;
      int32_t since = -1;  // the action that made or ended it
    };
    std::unordered_map<uint64_t, Life> lives;
    std::map<uint64_t, Value> names;  // for messages; ordered, so that they come out the same everywhere
    for (const Value& value : program_.initial) {
      Life& life = lives[key(value)];
      if (life.exists) report(-1, "initial value `{}` is listed twice", value);
      life.exists = true;
      names[key(value)] = value;
    }
    each_action([&](int32_t i, const Action& action) {
      for (const Effect& effect : effects(action, program_.blocks)) {
        const auto [entry, unknown] = lives.try_emplace(key(effect.value));
        Life& life = entry->second;
        if (unknown) names[key(effect.value)] = effect.value;
        const bool creates = effect.access == Access::create;
        if (creates && life.exists)
          report(i, "{} `{}`, which exists since {}", name(effect.access), effect.value, line(life.since));
        if (!creates && !life.exists)
          report(i, "{} `{}`, which {}", name(effect.access), effect.value,
                 unknown ? std::string("nobody has made") : "was ended by " + line(life.since));
        if (creates || effect.access == Access::free) life = {creates, i};
      }
    });
    for (const Value& value : program_.initial)
      if (!lives[key(value)].exists)
        report(lives[key(value)].since, "ends initial value `{}`, which the next step needs", value);
    for (const Value& value : program_.initial) lives.erase(key(value));
    for (const auto& [name, value] : names)
      if (const auto life = lives.find(name); life != lives.end() && life->second.exists)
        report(life->second.since, "makes `{}`, which is never freed", value);
  }

  // All uses of a block's weights within a step see one version, with deferred updates the one after them,
  // whole and packed weights are of that version, and an update reaches every weight.
  void freshness() {
    struct Version {
      int weight = 0, whole = 0, packed = 0;
      bool spreading = false;  // updated in part
      int32_t updated_at = -1;
      std::optional<int> used;
      int32_t used_at = -1;
    };
    std::vector<Version> versions(program_.blocks.size());
    constexpr int kPartial = -1;
    const bool deferred = program_.goal == Goal::train &&
                          std::any_of(program_.initial.begin(), program_.initial.end(),
                                      [](const Value& value) { return value.cls == ValueClass::grad; });
    const auto partial = [&](int32_t i, int b, const Version& v) {
      if (v.spreading || v.whole == kPartial)
        report(i, "reads `weight {}`, of which {} has changed a part only", b, line(v.updated_at));
    };
    each_action([&](int32_t i, const Action& action) {
      if (action.kind == Kind::free || is_move(action)) return;
      Version* const own = action.block >= 0 ? &versions[static_cast<size_t>(action.block)] : nullptr;
      switch (action.kind) {
        case Kind::update:
          partial(i, action.block, *own);
          ++own->weight;
          own->updated_at = i;
          own->spreading = block(action.block).state_level > block(action.block).weight_level;
          if (block(action.block).weight_level == 0) own->whole = own->weight;
          return;
        case Kind::spread:
          if (!own->spreading) report(i, "spreads weights that are whole since {}", line(own->updated_at));
          own->spreading = false;
          return;
        // A copy of weights of which a part is new does no harm until it is used.
        case Kind::gather:
          own->whole = own->spreading ? kPartial : own->weight;
          return;
        case Kind::pack:
          own->packed = own->spreading ? kPartial : own->whole;
          return;
        default:
          break;
      }
      for (const Effect& effect : effects(action, program_.blocks)) {
        if (effect.value.cls != ValueClass::weight && effect.value.cls != ValueClass::packed) continue;
        Version& v = versions[static_cast<size_t>(effect.value.block)];
        if (effect.value.cls == ValueClass::packed && v.packed != v.whole)
          report(i, "reads stale `{}`: {} changed the weight", effect.value, line(v.updated_at));
        if (effect.value.cls != ValueClass::weight) continue;
        if (v.whole == kPartial || block(effect.value.block).weight_level == 0)
          partial(i, effect.value.block, v);
        if (v.used && *v.used != v.whole)
          report(i, "reads `{}` after {}, but {} used it before that", effect.value, line(v.updated_at),
                 line(v.used_at));
        if (deferred && v.whole == 0 && block(effect.value.block).trains())
          report(i, "reads `{}` before the update that the step before has left over", effect.value);
        v.used = v.whole;
        v.used_at = i;
      }
    });
    for (int b = 0; b < program_.num_blocks(); ++b) {
      const Version& v = versions[static_cast<size_t>(b)];
      if (!block(b).holds_weights()) continue;
      if (v.spreading) report(v.updated_at, "changes a part of `weight {}`, the rest never follows", b);
      if (block(b).keeps_packed() && v.packed != v.whole)
        report(v.updated_at, "leaves `packed {}` stale at the end of the step", b);
    }
  }

  // Every action that must happen happens once.
  void completeness() {
    std::unordered_map<uint64_t, int32_t> seen;
    const auto cell = [](Kind kind, int b, int mb) {
      return uint64_t{static_cast<uint8_t>(kind)} << 32 | uint64_t{static_cast<uint16_t>(b)} << 16 |
             static_cast<uint16_t>(mb);
    };
    each_action([&](int32_t i, const Action& a) {
      switch (a.kind) {
        // What these may do twice is for residency, freshness and sums to judge.
        case Kind::free:
        case Kind::load:
        case Kind::store:
        case Kind::commit:
        case Kind::pack:
        case Kind::recompute:
        case Kind::gather:
        case Kind::spread:
        case Kind::reduce:
        case Kind::complete:
        case Kind::fold:
        case Kind::tie:
          return;
        default:
          break;
      }
      const bool message = a.kind == Kind::send || a.kind == Kind::receive;
      const uint64_t of_class = message ? uint64_t{static_cast<uint8_t>(a.cls)} << 40 : 0;
      const auto [first, fresh] = seen.try_emplace(cell(a.kind, a.block, a.micro_batch) | of_class, i);
      if (!fresh) report(i, "was done already by action {}", first->second);
    });
    const auto need = [&](Kind kind, int b, int mb) {
      if (seen.contains(cell(kind, b, mb))) return;
      report(-1, "no `{}{}{}` in the program", name(kind), b < 0 ? "" : fmt::format(" {}", b),
             mb < 0 ? "" : fmt::format(" mb={}", mb));
    };
    const bool train = program_.goal == Goal::train;
    const int head = program_.head();
    need(Kind::begin, -1, -1);
    for (int mb = 0; mb < program_.micro_batches; ++mb) {
      for (int b = 0; b < head; ++b)
        if (block(b).here) need(Kind::forward, b, mb);
      if (block(head).here) need(train ? Kind::loss : Kind::loss_only, head, mb);
      for (int b = 0; train && b < head; ++b) {
        if (!block(b).here) continue;
        if (needs_backward_input(program_, b)) need(Kind::backward_input, b, mb);
        if (block(b).trainable) need(Kind::backward_weight, b, mb);
      }
    }
    if (program_.ranks > 1) need(Kind::total, -1, -1);
    if (!train) return;
    for (int b = 0; b <= head; ++b) {
      if (!block(b).trains()) continue;
      need(Kind::norm, b, -1);
      need(Kind::update, b, -1);
    }
    need(Kind::clip, -1, -1);
  }
};

}  // namespace

std::vector<Problem> verify(const Program& program, const VerifyOptions& options) {
  std::vector<Problem> problems;
  Checker(program, options, problems).run();
  return problems;
}

}  // namespace strata
