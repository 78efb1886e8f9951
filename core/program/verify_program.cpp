// SPDX-License-Identifier: Apache-2.0
// The proof about the list alone. Three walks, each with one idea: every value exists when it is used and the
// set of values closes on itself; weights and their packed form are the right version; every contribution is
// made once, in order, before it is looked at.
#include <fmt/format.h>

#include <map>
#include <optional>
#include <unordered_map>

#include "core/program/effects.h"
#include "core/program/verify.h"

namespace strata {

namespace {

constexpr size_t kMostProblems = 8;  // what follows from the first is noise

class Checker {
 public:
  Checker(const Program& program, const VerifyOptions& options) : program_(program), options_(options) {}

  std::vector<Problem> run() {
    try {
      check_blocks(program_);
    } catch (const ContractError& error) {
      return {{-1, error.what()}};
    }
    if (!well_formed()) return problems_;  // the rest indexes by block and micro-batch
    residency();
    freshness();
    completeness();
    sums();
    return problems_;
  }

 private:
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

  // Every action names a block and micro-batch that has such an action.
  bool well_formed() {
    const int head = program_.head();
    each_action([&](int32_t i, const Action& a) {
      const KindInfo& fields = info(a.kind);
      if (a.kind == Kind::free) return;
      const Action plain{.kind = a.kind,
                         .block = fields.block ? a.block : int16_t{-1},
                         .micro_batch = fields.micro_batch ? a.micro_batch : int16_t{-1},
                         .keep = fields.keep ? a.keep : Keep::save,
                         .write = fields.write ? a.write : Write::accumulate};
      if (a != plain) return report(i, "carries a field that its kind does not have");
      if (fields.block && (a.block < 0 || a.block > head))
        return report(i, "names a block outside 0 to {}", head);
      if (fields.micro_batch && (a.micro_batch < 0 || a.micro_batch >= program_.micro_batches))
        return report(i, "names a micro-batch outside 0 to {}", program_.micro_batches - 1);
      if (!allowed(a)) report(i, "is not an action of this block in this program");
    });
    return problems_.empty();
  }

  bool allowed(const Action& a) const {
    const bool train = program_.goal == Goal::train;
    const int head = program_.head();
    switch (a.kind) {
      case Kind::begin:
        return true;
      case Kind::free:
        return true;
      case Kind::forward:
        return a.block != head;
      case Kind::recompute:
        return train && a.block != head;
      case Kind::backward_input:
        return train && a.block > 0 && a.block != head;
      case Kind::backward_weight:
        return train && a.block != head && block(a.block).trainable;
      case Kind::loss:
        return train && a.block == head;
      case Kind::loss_only:
        return !train && a.block == head;
      case Kind::norm:
      case Kind::update:
        return train && block(a.block).trainable;
      case Kind::clip:
        return train;
      case Kind::pack:
        return train && block(a.block).packed;
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

  // All uses of a block's weights within a step see one version, and packed weights are of that version.
  void freshness() {
    struct Version {
      int weight = 0, packed = 0;
      int32_t updated_at = -1;
      std::optional<int> used;
      int32_t used_at = -1;
    };
    std::vector<Version> versions(program_.blocks.size());
    each_action([&](int32_t i, const Action& action) {
      if (action.kind == Kind::free) return;
      if (action.kind == Kind::update) {
        Version& v = versions[static_cast<size_t>(action.block)];
        ++v.weight;
        v.updated_at = i;
        return;
      }
      if (action.kind == Kind::pack) {
        Version& v = versions[static_cast<size_t>(action.block)];
        v.packed = v.weight;
        return;
      }
      for (const Effect& effect : effects(action, program_.blocks)) {
        if (effect.value.cls != ValueClass::weight && effect.value.cls != ValueClass::packed) continue;
        Version& v = versions[static_cast<size_t>(effect.value.block)];
        if (effect.value.cls == ValueClass::packed && v.packed != v.weight)
          report(i, "reads stale `{}`: {} changed the weight", effect.value, line(v.updated_at));
        if (v.used && *v.used != v.weight && effect.value.cls == ValueClass::weight)
          report(i, "reads `{}` after {}, but {} used it before that", effect.value, line(v.updated_at),
                 line(v.used_at));
        v.used = v.weight;
        v.used_at = i;
      }
    });
    for (int b = 0; b < program_.num_blocks(); ++b) {
      const Version& v = versions[static_cast<size_t>(b)];
      if (block(b).packed && v.packed != v.weight)
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
      // What these may do twice is for residency and freshness to judge.
      if (a.kind == Kind::free || a.kind == Kind::pack || a.kind == Kind::recompute) return;
      const auto [first, fresh] = seen.try_emplace(cell(a.kind, a.block, a.micro_batch), i);
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
      for (int b = 0; b < head; ++b) need(Kind::forward, b, mb);
      need(train ? Kind::loss : Kind::loss_only, head, mb);
      for (int b = 0; train && b < head; ++b) {
        if (needs_backward_input(program_, b)) need(Kind::backward_input, b, mb);
        if (block(b).trainable) need(Kind::backward_weight, b, mb);
      }
    }
    if (!train) return;
    for (int b = 0; b <= head; ++b) {
      if (!block(b).trainable) continue;
      need(Kind::norm, b, -1);
      need(Kind::update, b, -1);
    }
    need(Kind::clip, -1, -1);
  }

  // Accumulators hold all their contributions before they are read, and in the order of the reference.
  void sums() {
    struct Sum {
      int contributions = 0;
      int newest =
          -1;  // 2 * micro-batch, + 1 for the block's own backward: the head's part of a tied pair goes first
      int32_t newest_at = -1;
    };
    std::vector<Sum> grads(program_.blocks.size());
    Sum losses;
    int norms = 0, num_trainable = 0;
    int32_t begun = -1, clipped = -1;
    for (const BlockInfo& info : program_.blocks) num_trainable += info.trainable ? 1 : 0;
    const auto contribute = [&](Sum& sum, int32_t i, int order) {
      if (options_.reference_order && order <= sum.newest)
        report(i, "adds to a sum after {}, out of the reference order", line(sum.newest_at));
      ++sum.contributions;
      sum.newest = order;
      sum.newest_at = i;
    };
    const auto expected = [&](int b) {
      const bool tied = block(program_.head()).tied_to == b;
      return program_.micro_batches * (tied ? 2 : 1);
    };
    // Gradients that exist before the list are those of the step before, whose update was deferred into this
    // one.
    const auto each_initial_grad = [&](auto visit) {
      for (const Value& value : program_.initial)
        if (value.cls == ValueClass::grad && value.block >= 0 && value.block <= program_.head())
          visit(value, grads[static_cast<size_t>(value.block)]);
    };
    each_initial_grad([&](const Value& value, Sum& sum) { sum.contributions = expected(value.block); });
    each_action([&](int32_t i, const Action& action) {
      for (const Effect& effect :
           action.kind == Kind::free ? EffectList{} : effects(action, program_.blocks)) {
        if (effect.value.cls != ValueClass::grad) continue;
        const int b = effect.value.block;
        Sum& sum = grads[static_cast<size_t>(b)];
        if (effect.access == Access::create) sum = {};
        if (writes(effect.access))
          contribute(sum, i, 2 * action.micro_batch + (action.block == b ? 1 : 0));
        else if (sum.contributions != expected(b))
          report(i, "reads `{}` with {} of {} contributions", effect.value, sum.contributions, expected(b));
      }
      switch (action.kind) {
        case Kind::begin:
          if (losses.contributions > 0 || norms > 0) report(i, "resets accumulators that are in use");
          begun = i;
          break;
        case Kind::loss:
        case Kind::loss_only:
          if (begun < 0) report(i, "adds to the loss before `begin`");
          contribute(losses, i, action.micro_batch);
          break;
        case Kind::norm:
          if (begun < 0) report(i, "adds to the norm before `begin`");
          if (clipped >= 0) report(i, "adds to the norm after {}", line(clipped));
          ++norms;
          break;
        case Kind::clip:
          if (losses.contributions != program_.micro_batches)
            report(i, "decides with {} of {} losses", losses.contributions, program_.micro_batches);
          if (norms != num_trainable)
            report(i, "decides with the norms of {} of {} blocks", norms, num_trainable);
          clipped = i;
          break;
        case Kind::update:
          // Before `begin` it would be the deferred update of the step before.
          if (begun >= 0 && clipped < 0) report(i, "uses the clip coefficient before it is decided");
          break;
        default:
          break;
      }
    });
    each_initial_grad([&](const Value& value, const Sum& sum) {
      if (sum.contributions != expected(value.block))
        report(sum.newest_at, "leaves `{}` with {} of {} contributions", value, sum.contributions,
               expected(value.block));
    });
  }

  const Program& program_;
  const VerifyOptions& options_;
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> verify(const Program& program, const VerifyOptions& options) {
  return Checker(program, options).run();
}

}  // namespace strata
