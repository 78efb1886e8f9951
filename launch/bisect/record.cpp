// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/record.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "core/base/check.h"

namespace strata {
namespace {

constexpr std::array<std::string_view, kNumQuantities> kNames{
    "token",          "target",   "position",      "received input",
    "weight used",    "output",   "loss",          "received gradient",
    "input gradient", "gradient", "gradient norm", "clip coefficient",
    "weight",         "state"};

enum class Phase { batch, forward, loss, backward, gradient, clip, update };

Phase phase(Quantity quantity) {
  switch (quantity) {
    case Quantity::token:
    case Quantity::target:
    case Quantity::position:
      return Phase::batch;
    case Quantity::received_input:
    case Quantity::weight_used:
    case Quantity::output:
      return Phase::forward;
    case Quantity::loss:
      return Phase::loss;
    case Quantity::received_gradient:
    case Quantity::input_gradient:
      return Phase::backward;
    case Quantity::gradient:
      return Phase::gradient;
    case Quantity::gradient_norm:
    case Quantity::clip_coefficient:
      return Phase::clip;
    case Quantity::weight:
    case Quantity::state:
      break;
  }
  return Phase::update;
}

}  // namespace

std::string_view name(Quantity quantity) { return kNames[static_cast<size_t>(quantity)]; }

std::optional<Quantity> quantity_named(std::string_view name) {
  const auto at = std::ranges::find(kNames, name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<Quantity>(at - kNames.begin());
}

bool operator<(const RecordKey& a, const RecordKey& b) {
  const auto order = [](const RecordKey& key) {
    const Phase of = phase(key.quantity);
    return std::tuple(key.step, of, of == Phase::backward ? -key.block : key.block, key.quantity,
                      key.sequence, std::string_view(key.tensor));
  };
  return order(a) < order(b);
}

void RecordEntry::add(RecordPart part) {
  for (RecordPart& known : parts) {
    if (!known.summary.same_bits(part.summary)) continue;
    for (const int rank : part.ranks)
      if (std::ranges::count(known.ranks, rank) == 0) known.ranks.push_back(rank);
    std::ranges::sort(known.ranks);
    return;
  }
  parts.push_back(std::move(part));
  // By rank, whoever comes first.
  std::ranges::stable_sort(parts, {}, [](const RecordPart& p) { return p.ranks.front(); });
}

Summary RecordEntry::whole() const {
  Summary sum;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto same = [&](const RecordPart& p) { return p.summary.where == parts[i].summary.where; };
    if (std::none_of(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(i), same))
      sum.add(parts[i].summary);
  }
  return sum;
}

const RecordPart* RecordEntry::other_copy(const RecordPart& part) const {
  for (const RecordPart& p : parts)
    if (p.summary.where == part.summary.where && p.summary.bits != part.summary.bits) return &p;
  return nullptr;
}

void Record::add(const RecordKey& key, const RecordEntry& entry) {
  RecordEntry& known = entries[key];
  check(known.parts.empty() || known.count == entry.count, "[record] ranks disagree about the size of {} {}",
        name(key.quantity), key.tensor);
  known.count = entry.count;
  known.width = entry.width;
  known.integer = entry.integer;
  for (const RecordPart& part : entry.parts) known.add(part);
}

}  // namespace strata
