// SPDX-License-Identifier: Apache-2.0
#include "launch/bisect/bisect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/io/file_system.h"

namespace strata {
namespace {

struct Loaded {
  std::optional<LoadedConfig> config;  // nothing: `record` was read
  Record record;
};

Loaded load(const BisectSide& side, const BisectOptions& options) {
  const auto files = make_posix_file_system();
  if (files->info(side.file))
    if (const std::string text = read_file(*files, side.file); is_record(text)) {
      Loaded loaded{.config = std::nullopt, .record = parse_record(text, side.file)};
      loaded.record.header.name = fmt::format("{} ({})", side.file, loaded.record.header.name);
      return loaded;
    }
  Loaded loaded{.config = load_config(side.file, side.overrides), .record = {}};
  loaded.record =
      record_run(*loaded.config, {.steps = options.steps, .interference = side.interference}).record;
  loaded.record.header.name = side.file;
  for (const std::string& value : side.overrides) loaded.record.header.name += " " + value;
  return loaded;
}

// The key under which a record has the value: what one side received the other only made.
RecordKey key_in(const Record& record, RecordKey key) {
  if (record.entries.contains(key)) return key;
  if (key.quantity == Quantity::received_input) {
    key.quantity = Quantity::output;
    key.block -= 1;
  } else if (key.quantity == Quantity::received_gradient) {
    key.quantity = Quantity::input_gradient;
    key.block += 1;
  }
  return key;
}

RecordedRun watch(const Loaded& loaded, const BisectSide& side, const RecordKey& key,
                  const BisectOptions& options) {
  return record_run(
      *loaded.config,
      {.steps = options.steps, .watch = key_in(loaded.record, key), .interference = side.interference});
}

double gap(const WatchedPart::Element& a, const WatchedPart::Element& b) {
  if (a.bits == b.bits) return 0;
  const double gap = std::abs(a.value - b.value);
  return std::isnan(gap) ? INFINITY : gap;
}

// Every copy of every element that B's ranks have, beside A's first.
CloseLook look(const RecordedRun& a, const RecordedRun& b, const Difference& difference) {
  std::map<uint64_t, WatchedPart::Element> whole;
  CloseLook close;
  double squares = 0;
  for (const WatchedPart& part : a.watched)
    for (const WatchedPart::Element& element : part.elements)
      if (whole.try_emplace(element.index, element).second) squares += element.value * element.value;
  close.norm = std::sqrt(squares);
  double largest = 0;
  std::map<uint64_t, double> farthest;  // squared, of the copies of an element
  for (const WatchedPart& part : b.watched) {
    double own = 0;
    for (const WatchedPart::Element& element : part.elements) {
      const auto other = whole.find(element.index);
      if (other == whole.end()) continue;
      ++close.elements;
      close.differ += element.bits != other->second.bits ? 1 : 0;
      const double apart = gap(other->second, element);
      own += apart * apart;
      double& of_element = farthest[element.index];
      of_element = std::max(of_element, apart * apart);
      if (apart <= largest) continue;
      largest = apart;
      close.index = element.index;
      close.a = other->second.value;
      close.b = element.value;
    }
    // A rank may be off by its share of what the whole may.
    const double share = static_cast<double>(part.elements.size()) / static_cast<double>(whole.size());
    if (std::sqrt(own) <= difference.bound * std::sqrt(share)) continue;
    if (close.ranks.empty() || part.rank < close.ranks.front()) close.action = part.action;
    close.ranks.push_back(part.rank);
  }
  std::ranges::sort(close.ranks);
  double sum = 0;
  for (const auto& [index, square] : farthest) sum += square;
  close.distance = std::sqrt(sum);
  return close;
}

bool repeats(const Record& first, const Record& again) {
  return std::ranges::all_of(again.entries, [&](const auto& known) {
    const auto before = first.entries.find(known.first);
    return before != first.entries.end() && before->second.whole().same_bits(known.second.whole());
  });
}

}  // namespace

Bisection bisect(const BisectSide& a, const BisectSide& b, const BisectOptions& options) {
  const Loaded left = load(a, options), right = load(b, options);
  Bisection result{.a = left.record.header, .b = right.record.header};
  result.tolerance = options.tolerance.value_or(default_tolerance(result.a, result.b));
  result.comparison = compare(left.record, right.record, result.tolerance);
  const auto& first = result.comparison.first;
  if (!first) return result;
  for (const Record* record : {&left.record, &right.record})
    if (const auto at = record->entries.find(key_in(*record, first->key)); at != record->entries.end())
      result.width = at->second.width;
  const bool of_both = first->kind == Difference::Kind::values ||
                       (first->kind == Difference::Kind::copies && first->side == Side::b);
  if (!left.config || !right.config || !of_both) return result;
  const RecordedRun a_again = watch(left, a, first->key, options),
                    b_again = watch(right, b, first->key, options);
  result.close = look(a_again, b_again, *first);
  result.close->repeats = repeats(left.record, a_again.record) && repeats(right.record, b_again.record);
  return result;
}

}  // namespace strata
