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

  bool allowed(const Action& a) const {
    const bool train = program_.goal == Goal::train;
    const int head = program_.head();
    switch (a.kind) {
      case Kind::begin:
      case Kind::free:
        return true;
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
               (train || block(a.block).weight_level > 0);
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

  // All uses of a block's weights within a step see one version, whole and packed weights are of that
  // version, and an update reaches every weight.
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
    const auto partial = [&](int32_t i, int b, const Version& v) {
      if (v.spreading || v.whole == kPartial)
        report(i, "reads `weight {}`, of which {} has changed a part only", b, line(v.updated_at));
    };
    each_action([&](int32_t i, const Action& action) {
      if (action.kind == Kind::free) return;
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
        v.used = v.whole;
        v.used_at = i;
      }
    });
    for (int b = 0; b < program_.num_blocks(); ++b) {
      const Version& v = versions[static_cast<size_t>(b)];
      if (!block(b).holds_weights()) continue;
      if (v.spreading) report(v.updated_at, "changes a part of `weight {}`, the rest never follows", b);
      if (block(b).packed && block(b).weight_level == 0 && v.packed != v.whole)
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

  // A gradient sum while it grows.
  struct Sum {
    std::vector<uint8_t> times;  // how often it holds each contribution: 2 * micro-batch, + 1 for the block's
                                 // own backward: the head's part of a tied pair goes first
    int newest = -1;  // of the contributions
    int32_t newest_at = -1;
    int first = 0, count = 0;    // tree: the micro-batches [first, first + count)
    bool over_replicas = false;  // summed over the ranks that hold the same shards
    bool whole = false;          // holds the addends of the tensor axis
    bool tied = false;           // holds the twin's part too
  };
  using Sums = std::unordered_map<uint64_t, Sum>;

  int contributions_of(const Sum& sum) const {
    int held = 0;
    for (const uint8_t times : sum.times) held += times;
    return held;
  }
  int expected(int b) const {
    const bool tied = block(program_.head()).tied_to == b;
    return program_.micro_batches * (tied ? 2 : 1);
  }
  bool complete(int b, const Sum& sum) const {
    const bool tied = block(program_.head()).tied_to == b;
    for (size_t i = 0; i < sum.times.size(); ++i)
      if (sum.times[i] != (i % 2 == 1 || tied ? 1 : 0)) return false;
    return true;
  }
  Sum empty_sum() const {
    return {.times = std::vector<uint8_t>(2 * static_cast<size_t>(program_.micro_batches), 0)};
  }

  void contribute(Sum& sum, int32_t i, int order) {
    const int micro_batch = order / 2;
    if (sum.over_replicas || sum.whole) report(i, "adds to a sum that was summed over other ranks by then");
    if (options_.order == SumOrder::ascending && order <= sum.newest)
      report(i, "adds to a sum after {}, out of the reference order", line(sum.newest_at));
    if (options_.order == SumOrder::tree) {
      if (sum.count == 0) sum.first = micro_batch, sum.count = 1;
      if (sum.count != 1 || sum.first != micro_batch)
        report(i, "adds a micro-batch to a sum that holds others: not a balanced tree");
      if (order <= sum.newest)
        report(i, "adds to a sum after {}, out of the reference order", line(sum.newest_at));
    }
    ++sum.times[static_cast<size_t>(order)];
    sum.newest = order;
    sum.newest_at = i;
  }

  // Everything `part` holds goes into `sum`.
  void join(Sum& sum, const Sum& part, int32_t i) {
    if (sum.over_replicas || part.over_replicas || sum.whole || part.whole)
      report(i, "adds sums of which one was summed over the replicas by then");
    if (part.times.empty() || sum.times.empty())
      return;  // a value that does not exist is for residency to report
    const int first = first_contribution(part);
    if (options_.order == SumOrder::ascending && first <= sum.newest)
      report(i, "adds to a sum after {}, out of the reference order", line(sum.newest_at));
    if (options_.order == SumOrder::tree) {
      const bool fresh = sum.count == 0;
      const bool balanced =
          sum.count == part.count && sum.first + sum.count == part.first && sum.first % (2 * sum.count) == 0;
      if (!fresh && !balanced)
        report(i, "adds micro-batches {} to {} to {} to {}: not a balanced tree", part.first,
               part.first + part.count - 1, sum.first, sum.first + sum.count - 1);
      if (fresh) sum.first = part.first;
      sum.count += part.count;
    }
    for (size_t k = 0; k < sum.times.size(); ++k)
      sum.times[k] = static_cast<uint8_t>(sum.times[k] + part.times[k]);
    sum.newest = std::max(sum.newest, part.newest);
    sum.newest_at = i;
  }
  static int first_contribution(const Sum& sum) {
    for (size_t k = 0; k < sum.times.size(); ++k)
      if (sum.times[k] > 0) return static_cast<int>(k);
    return -1;
  }

  // How far a sum has come when `by` reads it: over all replicas for `complete`, whole for `tie`, with its twin's
  // part for norm and update.
  void require_final(int32_t i, Kind by, int b, const Value& value, const Sum& sum) {
    if (!complete(b, sum))
      report(i, "reads `{}` with {} of {} contributions", value, contributions_of(sum), expected(b));
    if (block(b).replicated && !sum.over_replicas)
      report(i, "reads `{}` before it was summed over the replicas", value);
    if (by == Kind::complete) return;
    if (block(b).partial && !sum.whole) report(i, "reads `{}`, of which the tensor axis holds addends", value);
    if (by == Kind::tie) return;
    if (block(b).twin >= 0 && !sum.tied)
      report(i, "reads `{}` without the part of its twin, block {}", value, block(b).twin);
  }

  // Accumulators hold all their contributions before they are read, and in the order of the reference.
  void sums() {
    Sums grads;
    Sum losses = empty_sum();
    int norms = 0, num_trainable = 0;
    int32_t begun = -1, clipped = -1, totalled = -1;
    const bool has_loss = block(program_.head()).here;
    for (const BlockInfo& info : program_.blocks) num_trainable += info.trains() ? 1 : 0;
    // Gradients that exist before the list are those of the step before, whose update was deferred into this
    // one.
    const auto each_initial_grad = [&](auto visit) {
      for (const Value& value : program_.initial)
        if (value.cls == ValueClass::grad && value.block >= 0 && value.block <= program_.head())
          visit(value, grads[key(value)]);
    };
    each_initial_grad([&](const Value& value, Sum& sum) {
      sum = empty_sum();
      for (size_t k = 0; k < sum.times.size(); ++k)
        sum.times[k] = k % 2 == 1 || block(program_.head()).tied_to == value.block ? 1 : 0;
      sum.over_replicas = block(value.block).replicated;
      sum.whole = block(value.block).partial;
      sum.tied = block(value.block).twin >= 0;
    });
    each_action([&](int32_t i, const Action& action) {
      if (action.kind != Kind::free) gradient_effects(i, action, grads);
      switch (action.kind) {
        case Kind::begin:
          if (contributions_of(losses) > 0 || norms > 0 || totalled >= 0)
            report(i, "resets accumulators that are in use");
          begun = i;
          break;
        case Kind::loss:
        case Kind::loss_only:
          if (begun < 0) report(i, "adds to the loss before `begin`");
          if (totalled >= 0) report(i, "adds to the loss after {}", line(totalled));
          ++losses.times[2 * static_cast<size_t>(action.micro_batch)];
          break;
        case Kind::norm:
          if (begun < 0) report(i, "adds to the norm before `begin`");
          if (clipped >= 0) report(i, "adds to the norm after {}", line(clipped));
          if (totalled >= 0) report(i, "adds to the norm after {}", line(totalled));
          ++norms;
          break;
        case Kind::total:
          if (begun < 0) report(i, "adds up the scalars before `begin`");
          totalled = i;
          if (program_.goal == Goal::evaluate &&
              contributions_of(losses) != (has_loss ? program_.micro_batches : 0))
            report(i, "adds up with {} of {} losses", contributions_of(losses), program_.micro_batches);
          break;
        case Kind::clip:
          if (program_.ranks > 1 && totalled < 0)
            report(i, "decides before the scalars of all ranks are added up");
          if (contributions_of(losses) != (has_loss ? program_.micro_batches : 0))
            report(i, "decides with {} of {} losses", contributions_of(losses), program_.micro_batches);
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
      if (!complete(value.block, sum))
        report(sum.newest_at, "leaves `{}` with {} of {} contributions", value, contributions_of(sum),
               expected(value.block));
    });
  }

  void gradient_effects(int32_t i, const Action& action, Sums& grads) {
    // Sums an action only reads, before it changes others.
    const Sum* part = nullptr;
    for (const Effect& effect : effects(action, program_.blocks))
      if (effect.value.cls == ValueClass::grad && effect.access == Access::read)
        part = &grads[key(effect.value)];
    const Sum source = part ? *part : Sum{};
    for (const Effect& effect : effects(action, program_.blocks)) {
      if (effect.value.cls != ValueClass::grad) continue;
      const int b = effect.value.block;
      Sum& sum = grads[key(effect.value)];
      if (effect.access == Access::create || sum.times.empty()) sum = empty_sum();
      switch (action.kind) {
        case Kind::backward_weight:
        case Kind::loss:
          // The head is no transformer block: its own part counts as its own backward.
          contribute(sum, i, 2 * action.micro_batch + (action.block == b ? 1 : 0));
          break;
        case Kind::fold:
          if (writes(effect.access)) join(sum, source, i);
          break;
        case Kind::reduce:
          if (action.level != action.to) {
            if (writes(effect.access)) join(sum, source, i);
            break;
          }
          require_complete_before_replicas(i, b, effect.value, sum);
          if (sum.over_replicas) report(i, "sums over the replicas twice");
          sum.over_replicas = true;
          break;
        case Kind::complete:
          require_final(i, action.kind, b, effect.value, sum);
          if (sum.whole) report(i, "sums over the tensor axis twice");
          sum.whole = true;
          break;
        case Kind::tie:
          require_final(i, action.kind, b, effect.value, sum);
          if (sum.tied) report(i, "adds the part of the twin twice");
          sum.tied = true;
          break;
        case Kind::norm:
        case Kind::update:
          require_final(i, action.kind, b, effect.value, sum);
          break;
        default:
          break;
      }
    }
  }

  void require_complete_before_replicas(int32_t i, int b, const Value& value, const Sum& sum) {
    if (value.micro_batch >= 0) report(i, "sums a part of the micro-batches over the replicas");
    if (!complete(b, sum))
      report(i, "sums `{}` over the replicas with {} of {} contributions", value, contributions_of(sum),
             expected(b));
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
