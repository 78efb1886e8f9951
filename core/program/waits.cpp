// SPDX-License-Identifier: Apache-2.0
#include "core/program/waits.h"

#include <algorithm>
#include <map>

namespace strata {

namespace {

// Per lane the number of actions that are known to be done, counted over both copies.
using Clock = std::array<int32_t, kNumLanes>;

void merge(Clock& into, const Clock& from) {
  for (size_t lane = 0; lane < kNumLanes; ++lane) into[lane] = std::max(into[lane], from[lane]);
}

// Who touched a buffer last: per lane, one more than the newest writer's and reader's place in the lane; 0 is
// nobody.
struct Users {
  Clock writers{};
  Clock readers{};  // since the last write
  Clock sharers{};  // that add to it in any order, since the last other access
};

void merge_all(Clock& into, const Users& users) {
  for (const Clock* clock : {&users.writers, &users.readers, &users.sharers}) merge(into, *clock);
}

// Which buffer last lay where. Only the newest occupant of a byte matters: it waited for the ones before.
class Occupancy {
 public:
  // Calls visit(buffer) for every occupant of [begin, end), then makes `buffer` the only one.
  template <typename Visit>
  void replace(int64_t begin, int64_t end, int32_t buffer, Visit visit) {
    auto at = spans_.upper_bound(begin);
    if (at != spans_.begin() && std::prev(at)->second.end > begin) --at;
    while (at != spans_.end() && at->first < end) {
      const int64_t first = at->first;
      const Span span = at->second;
      visit(span.buffer);
      at = spans_.erase(at);
      if (first < begin) spans_[first] = {begin, span.buffer};
      if (span.end > end) at = spans_.insert_or_assign(end, Span{span.end, span.buffer}).first;
    }
    spans_[begin] = {end, buffer};
  }

 private:
  struct Span {
    int64_t end;
    int32_t buffer;
  };
  std::map<int64_t, Span> spans_;
};

class Derivation {
 public:
  explicit Derivation(LinkedProgram& linked)
      : linked_(linked), users_(linked.buffers.size()), done_(2 * linked.actions.size()) {
    for (size_t lane = 0; lane < kNumLanes; ++lane)
      length_[lane] = static_cast<int32_t>(linked.lanes[lane].size());
  }

  void run() {
    for (int copy = 0; copy < 2; ++copy)
      for (size_t position = 0; position < linked_.actions.size(); ++position)
        if (linked_.actions[position].runs) add(copy, static_cast<int32_t>(position));
  }

 private:
  void add(int copy, int32_t position) {
    LinkedAction& action = linked_.actions[static_cast<size_t>(position)];
    const auto lane = static_cast<size_t>(action.lane);
    const int32_t place = copy * length_[lane] + action.sequence;

    Clock wanted{};
    for (const Operand& operand : linked_.operands_of(position)) {
      Users& users = users_[static_cast<size_t>(operand.buffer)];
      if (operand.access == Access::create) {
        if (operand.bytes > 0) take_memory(operand, wanted);
        // A value of no bytes has no memory to wait for, but its name has: an initial value may be made anew.
        merge_all(wanted, users);
      } else {
        merge(wanted, users.writers);
        Clock sharers = users.sharers;
        if (commutes(operand)) sharers[lane] = 0;
        merge(wanted, sharers);
        if (writes(operand.access)) merge(wanted, users.readers);
      }
      if (commutes(operand)) {
        users.sharers[lane] = place + 1;
        continue;
      }
      if (writes(operand.access)) users = {};
      (writes(operand.access) ? users.writers : users.readers)[lane] = place + 1;
    }

    const std::vector<Wait> waits = reduce(lane, place, wanted);
    if (copy == 0) return;
    action.first_wait = static_cast<int32_t>(linked_.waits.size());
    action.num_waits = static_cast<int32_t>(waits.size());
    linked_.waits.insert(linked_.waits.end(), waits.begin(), waits.end());
  }

  void take_memory(const Operand& operand, Clock& wanted) {
    occupancy_[static_cast<size_t>(operand.value.tier)].replace(
        operand.offset, operand.offset + operand.bytes, operand.buffer,
        [&](int32_t before) { merge_all(wanted, users_[static_cast<size_t>(before)]); });
  }

  // The waits that establish `wanted` beyond what the lane knows already. What an awaited action knew is
  // known too, and an action knows only earlier ones: the latest in the list goes first, most others then
  // need no wait of their own.
  std::vector<Wait> reduce(size_t lane, int32_t place, const Clock& wanted) {
    Clock& known = known_[lane];
    // Where actions overlap, the one before has begun, no more.
    if (!overlaps(static_cast<Lane>(lane))) known[lane] = place;
    std::vector<Wait> waits;
    for (;;) {
      int64_t latest = -1;
      size_t of = 0;
      for (size_t other = 0; other < kNumLanes; ++other) {
        if (wanted[other] <= known[other]) continue;
        const int64_t when = when_in_list(other, wanted[other] - 1);
        if (when > latest) latest = when, of = other;
      }
      if (latest < 0) break;
      const int32_t target = wanted[of] - 1;
      waits.push_back({.lane = static_cast<Lane>(of),
                       .previous_step = target < length_[of],
                       .sequence = target % length_[of]});
      merge(known, done_[static_cast<size_t>(latest)]);
    }
    Clock& done = done_[static_cast<size_t>(when_in_list(lane, place))];
    done = known;
    done[lane] = place + 1;
    return waits;
  }

  // Position over both copies of the action at a place of a lane.
  int64_t when_in_list(size_t lane, int32_t place) const {
    const auto copy = place / length_[lane];
    const auto position = linked_.lanes[lane][static_cast<size_t>(place % length_[lane])];
    return copy * static_cast<int64_t>(linked_.actions.size()) + position;
  }

  LinkedProgram& linked_;
  std::vector<Users> users_;
  std::vector<Clock> done_;  // by position over both copies: what is known once the action is done
  std::array<Clock, kNumLanes> known_{};
  std::array<int32_t, kNumLanes> length_{};
  std::array<Occupancy, kNumTiers> occupancy_;
};

}  // namespace

void derive_waits(LinkedProgram& linked) {
  linked.waits.clear();
  Derivation(linked).run();
}

}  // namespace strata
