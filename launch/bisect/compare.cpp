// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/compare.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "core/base/error.h"

namespace strata {
namespace {

// By how much more than weights, relative, activations and gradients made of them may differ.
constexpr double kGradientsAnswer = 100;

// Finds the entries of one record.
class Index {
 public:
  explicit Index(const Record& record) : record_(record) {
    for (const auto& [key, entry] : record.entries)
      if (key.quantity == Quantity::weight_used || key.quantity == Quantity::gradient ||
          key.quantity == Quantity::weight)
        by_tensor_.try_emplace({key.step, key.quantity, key.tensor}, &entry);
  }

  const RecordEntry* find(const RecordKey& key) const {
    const auto at = record_.entries.find(key);
    return at == record_.entries.end() ? nullptr : &at->second;
  }
  // The same, or what was received without a counterpart: what was sent.
  const RecordEntry* counterpart(RecordKey key) const {
    if (const RecordEntry* entry = find(key)) return entry;
    if (key.quantity == Quantity::received_input) {
      key.quantity = Quantity::output;
      key.block -= 1;
    } else if (key.quantity == Quantity::received_gradient) {
      key.quantity = Quantity::input_gradient;
      key.block += 1;
    } else {
      return nullptr;
    }
    return find(key);
  }
  // Of a parameter, whichever block it was recorded for.
  const RecordEntry* tensor(int64_t step, Quantity quantity, const std::string& name) const {
    const auto at = by_tensor_.find({step, quantity, name});
    return at == by_tensor_.end() ? nullptr : at->second;
  }

 private:
  const Record& record_;
  std::map<std::tuple<int64_t, Quantity, std::string>, const RecordEntry*> by_tensor_;
};

// The name behind the slash of "layers.0.mlp.up.weight/moment1".
std::string slot_of(const std::string& tensor) {
  const size_t slash = tensor.rfind('/');
  return slash == std::string::npos ? "" : tensor.substr(slash + 1);
}
std::string parameter_of(const std::string& tensor) { return tensor.substr(0, tensor.rfind('/')); }

double relative(double distance, const Summary& a, const Summary& b) {
  return distance == 0 ? 0 : distance / std::max(a.norm(), b.norm());
}

class Comparer {
 public:
  Comparer(const Record& a, const Record& b, double tolerance)
      : a_(a), b_(b), in_a_(a), in_b_(b), tolerance_(tolerance) {
    std::set<int64_t> of_a, of_b;
    for (const auto& [key, entry] : a.entries) of_a.insert(key.step);
    for (const auto& [key, entry] : b.entries) of_b.insert(key.step);
    std::ranges::set_intersection(of_a, of_b, std::inserter(steps_, steps_.end()));
    if (!steps_.empty()) return;
    throw Error(Fault::usage, {.what = "no step is in both runs",
                               .found = fmt::format("A has steps {}, B has {}", fmt::join(of_a, ", "),
                                                    fmt::join(of_b, ", ")),
                               .fix = "record the same steps of both"});
  }

  Comparison run() {
    Comparison result{.steps = static_cast<int64_t>(steps_.size())};
    std::set<RecordKey> keys;
    for (const Record* record : {&a_, &b_})
      for (const auto& [key, entry] : record->entries)
        if (steps_.contains(key.step)) keys.insert(key);
    std::set<std::string> left_out;
    for (const RecordKey& key : keys) {
      if (result.first && !beside(result.first->key, key)) continue;
      if (may_be_left_out(key)) {
        left_out.insert(fmt::format("{} {}", name(key.quantity), slot_of(key.tensor)));
        continue;
      }
      std::optional<Difference> difference = judge(key);
      if (!result.first) {
        ++result.compared;
        result.first = std::move(difference);
      } else {
        ++result.first->of;
        result.first->differ += difference ? 1 : 0;
      }
    }
    result.left_out.assign(left_out.begin(), left_out.end());
    std::tie(result.closest, result.closest_key) = closest_;
    return result;
  }

 private:
  // Of the same kind and place as the first difference, behind it.
  static bool beside(const RecordKey& first, const RecordKey& key) {
    return first < key && first.step == key.step && first.quantity == key.quantity &&
           first.block == key.block;
  }

  // Slots of another state format, and of integers that are the low bits of something.
  bool may_be_left_out(const RecordKey& key) const {
    if (key.quantity != Quantity::state) return false;
    const RecordEntry *a = in_a_.find(key), *b = in_b_.find(key);
    return !a || !b || (tolerance_ > 0 && a->integer);
  }

  std::optional<Difference> judge(const RecordKey& key) {
    const RecordEntry *a = in_a_.counterpart(key), *b = in_b_.counterpart(key);
    Difference difference{.key = key};
    if (!a || !b) {
      difference.kind = Difference::Kind::missing;
      difference.side = a ? Side::b : Side::a;
      return difference;
    }
    difference.a = a->whole();
    difference.b = b->whole();
    difference.bound = bound(key, *a, difference.a, difference.b);
    for (const Side side : {Side::b, Side::a})
      if (differs_within(difference, side, side == Side::b ? *b : *a, side == Side::b ? *a : *b))
        return difference;
    // Judged a step ago, as far as anything behind an update can be.
    if (key.quantity == Quantity::weight_used && in_a_.tensor(key.step - 1, Quantity::weight, key.tensor) &&
        in_b_.tensor(key.step - 1, Quantity::weight, key.tensor))
      return std::nullopt;
    difference.distance = distance(difference.a, difference.b);
    if (near(difference.bound, difference.a, difference.b)) {
      if (difference.bound > 0 && difference.distance / difference.bound > closest_.first)
        closest_ = {difference.distance / difference.bound, key};
      return std::nullopt;
    }
    name_ranks(difference, *b, *a);
    return difference;
  }

  static bool near(double bound, const Summary& a, const Summary& b) {
    return a.same_bits(b) || (bound > 0 && distance(a, b) <= bound);
  }

  // What is wrong with `entry`, of one side, whatever the other has.
  bool differs_within(Difference& difference, Side side, const RecordEntry& entry, const RecordEntry& other) {
    Difference found = difference;
    found.side = side;
    const auto as = [&](Difference::Kind kind) {
      found.kind = kind;
      difference = found;
      return true;
    };
    for (const RecordPart& part : entry.parts) {
      const RecordPart* const copy = entry.other_copy(part);
      if (!copy) continue;
      found.a = part.summary;
      found.b = copy->summary;
      found.distance = distance(found.a, found.b);
      name_ranks(found, entry, other);
      return as(Difference::Kind::copies);
    }
    if ((side == Side::b ? found.b : found.a).count != entry.count) {
      for (const RecordPart& part : entry.parts)
        found.ranks.insert(found.ranks.end(), part.ranks.begin(), part.ranks.end());
      return as(Difference::Kind::partial);
    }
    if (difference.key.quantity != Quantity::weight_used) return false;
    const Index& own = side == Side::b ? in_b_ : in_a_;
    const RecordEntry* const left =
        own.tensor(difference.key.step - 1, Quantity::weight, difference.key.tensor);
    if (!left || left->whole().same_bits(entry.whole())) return false;
    found.a = left->whole();
    found.b = entry.whole();
    found.bound = 0;
    found.distance = distance(found.a, found.b);
    name_ranks(found, entry, *left);
    return as(Difference::Kind::changed);
  }

  // The ranks of `entry` that have what differs from `right`. A part that both have tells on its own; of
  // copies that nothing else tells apart, the rarer is taken to be wrong.
  static void name_ranks(Difference& difference, const RecordEntry& entry, const RecordEntry& right) {
    std::vector<const RecordPart*> wrong, unknown;
    size_t most = 0;
    const bool copies = std::ranges::any_of(entry.parts, [&](const auto& p) { return entry.other_copy(p); });
    for (const RecordPart& part : entry.parts) {
      if (copies && !entry.other_copy(part)) continue;
      const auto same = std::ranges::find_if(
          right.parts, [&](const RecordPart& p) { return p.summary.where == part.summary.where; });
      if (same == right.parts.end() || right.other_copy(*same)) {
        unknown.push_back(&part);
        most = std::max(most, part.ranks.size());
      } else if (!near(difference.bound, part.summary, same->summary)) {
        wrong.push_back(&part);
      }
    }
    difference.certain = !wrong.empty();
    if (wrong.empty()) {
      std::ranges::copy_if(unknown, std::back_inserter(wrong),
                           [&](const RecordPart* p) { return copies && p->ranks.size() < most; });
      if (wrong.empty()) wrong = unknown;
    }
    if (wrong.empty())
      for (const RecordPart& part : entry.parts) wrong.push_back(&part);
    difference.ranks.clear();
    for (const RecordPart* part : wrong)
      difference.ranks.insert(difference.ranks.end(), part->ranks.begin(), part->ranks.end());
    std::ranges::sort(difference.ranks);
    difference.action = wrong.front()->action;
  }

  double bound(const RecordKey& key, const RecordEntry& entry, const Summary& a, const Summary& b) {
    if (tolerance_ == 0 || entry.integer) return 0;
    const double scale = std::max({a.norm(), b.norm(), largest(key) / 100});
    return tolerance_of(key.step) * scale + update_bound(key);
  }

  // The largest norm of the quantity in the step.
  double largest(const RecordKey& key) {
    const auto group = [](const RecordKey& k) { return std::tuple(k.step, k.quantity, slot_of(k.tensor)); };
    if (largest_.empty())
      for (const auto& [k, entry] : a_.entries) {
        double& norm = largest_[group(k)];
        norm = std::max(norm, entry.whole().norm());
      }
    return largest_[group(key)];
  }

  double update_bound(const RecordKey& key) const {
    const bool of_weights = key.quantity == Quantity::weight ||
                            (key.quantity == Quantity::state && slot_of(key.tensor).starts_with("master"));
    if (!of_weights) return 0;
    const std::string parameter = parameter_of(key.tensor);
    const RecordEntry *ga = in_a_.tensor(key.step, Quantity::gradient, parameter),
                      *gb = in_b_.tensor(key.step, Quantity::gradient, parameter),
                      *before = in_a_.tensor(key.step, Quantity::weight_used, parameter),
                      *before_b = in_b_.tensor(key.step, Quantity::weight_used, parameter),
                      *after = in_a_.tensor(key.step, Quantity::weight, parameter);
    if (!ga || !gb || !before || !before_b || !after) return 0;
    const Summary a = ga->whole(), b = gb->whole(), began = before->whole();
    const double error = std::min(1.0, relative(distance(a, b), a, b));
    return 2 * std::sqrt(error) * distance(began, after->whole()) + distance(began, before_b->whole());
  }

  double tolerance_of(int64_t step) {
    const auto [at, fresh] = tolerances_.try_emplace(step, tolerance_);
    if (!fresh || step == *steps_.begin()) return at->second;
    double distances = 0, norms = 0;
    for (const auto& [key, entry] : a_.entries) {
      const RecordEntry* const other = in_b_.find(key);
      if (key.step != step || key.quantity != Quantity::weight_used || !other) continue;
      const Summary whole = entry.whole();
      const double apart = distance(whole, other->whole());
      distances += apart * apart;
      norms += whole.squares;
    }
    return at->second = std::max(tolerance_, kGradientsAnswer * std::sqrt(distances / norms));
  }

  const Record &a_, &b_;
  Index in_a_, in_b_;
  double tolerance_;
  std::set<int64_t> steps_;  // of both
  std::map<std::tuple<int64_t, Quantity, std::string>, double> largest_;
  std::map<int64_t, double> tolerances_;
  std::pair<double, RecordKey> closest_;
};

}  // namespace

double default_tolerance(const RunHeader& a, const RunHeader& b) {
  const bool same_sums = a.batch == b.batch && a.compute == b.compute && a.isa == b.isa &&
                         (a.layout == b.layout || (a.ordered && b.ordered)) && a.ordered == b.ordered;
  if (same_sums) return 0;
  return a.compute == "f32" && b.compute == "f32" ? 1e-5 : 2e-2;
}

Comparison compare(const Record& a, const Record& b, double tolerance) {
  if (a.header.blocks != b.header.blocks)
    throw Error(Fault::usage,
                {.what = "the runs are of different models",
                 .found = fmt::format("A has blocks {}; B has {}", fmt::join(a.header.blocks, ", "),
                                      fmt::join(b.header.blocks, ", ")),
                 .fix = "compare runs that differ in layout, precision or mode alone"});
  return Comparer(a, b, tolerance).run();
}

}  // namespace strata
