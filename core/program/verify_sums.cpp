// SPDX-License-Identifier: Apache-2.0
// The walk that follows sums: gradients from their first contribution to the update, losses and norms to the
// decision about the step.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "core/program/effects.h"
#include "core/program/list_walk.h"

namespace strata {

namespace {

class SumWalk : ListWalk {
 public:
  using ListWalk::ListWalk;

  void run() {
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
    std::unordered_set<int> deferred;  // blocks
    each_initial_grad([&](const Value& value, Sum& sum) {
      deferred.insert(value.block);
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
          // Before `begin` it is the deferred update of the step before.
          if (begun >= 0 && deferred.contains(action.block))
            report(i, "belongs to the step before, whose scalars end with {}", line(begun));
          else if (begun >= 0 && clipped < 0)
            report(i, "uses the clip coefficient before it is decided");
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

 private:
  // A gradient sum while it grows.
  struct Sum {
    std::vector<uint8_t> times;  // how often it holds each contribution: 2 * micro-batch, + 1 for the block's
                                 // own backward: the head's part of a tied pair goes first
    int newest = -1;             // of the contributions
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

  // How far a sum has come when `by` reads it: over all replicas for `complete`, whole for `tie`, with its
  // twin's part for norm and update.
  void require_final(int32_t i, Kind by, int b, const Value& value, const Sum& sum) {
    if (!complete(b, sum))
      report(i, "reads `{}` with {} of {} contributions", value, contributions_of(sum), expected(b));
    if (block(b).replicated && !sum.over_replicas)
      report(i, "reads `{}` before it was summed over the replicas", value);
    if (by == Kind::complete) return;
    if (block(b).partial && !sum.whole)
      report(i, "reads `{}`, of which the tensor axis holds addends", value);
    if (by == Kind::tie) return;
    if (block(b).twin >= 0 && !sum.tied)
      report(i, "reads `{}` without the part of its twin, block {}", value, block(b).twin);
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
        case Kind::load:
        case Kind::store:
          if (writes(effect.access)) sum = source;
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
};

}  // namespace

void check_sums(const Program& program, const VerifyOptions& options, std::vector<Problem>& problems) {
  SumWalk(program, options, problems).run();
}

}  // namespace strata
