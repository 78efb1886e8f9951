// SPDX-License-Identifier: Apache-2.0
// One simulated run of a job whose ranks have a lane for computing, one for collectives, one each for loads
// and stores, and whose messages wait for nobody's turn. What begins earlier there comes earlier in every
// rank's list.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <queue>
#include <unordered_map>

#include "core/base/check.h"
#include "core/program/effects.h"
#include "core/program/lane.h"
#include "core/program/meeting.h"
#include "core/program/passes.h"

namespace strata {
namespace {

enum Queue : uint8_t { compute, collective, message, loads, stores };
constexpr size_t kNumQueues = 5;

Queue queue_of(const Action& action) {
  if (action.kind == Kind::send || action.kind == Kind::receive) return message;
  if (action.kind == Kind::load) return loads;
  if (action.kind == Kind::store || action.kind == Kind::commit) return stores;
  return default_lane(action) == Lane::communication ? collective : compute;
}

struct Node {
  Queue queue = compute;
  int32_t missing = 0;             // what it still waits for, its predecessor in the queue included
  std::vector<int32_t> after_end;  // who waits for its end
  std::vector<int32_t> after_begin;
  double ready = 0;
  int64_t sequence = -1;
};

// The nodes of one rank: hazards on names alone. A name is not made again before its last life is over, so
// that the order found keeps every value where it is.
std::vector<Node> dependencies(const Program& program) {
  std::vector<Node> nodes(program.list.size());
  struct Users {
    int32_t writer = -1;
    std::vector<int32_t> readers;
  };
  std::unordered_map<uint64_t, Users> names;
  std::array<int32_t, kNumQueues> newest;
  newest.fill(-1);
  for (int32_t i = 0; i < static_cast<int32_t>(nodes.size()); ++i) {
    const Action& action = program.list[static_cast<size_t>(i)];
    Node& node = nodes[static_cast<size_t>(i)];
    const auto wait_for = [&](int32_t other) {
      if (other < 0) return;
      nodes[static_cast<size_t>(other)].after_end.push_back(i);
      ++node.missing;
    };
    for (const Effect& effect : effects(action, program.blocks)) {
      Users& users = names[key(effect.value)];
      wait_for(users.writer);
      if (!writes(effect.access)) {
        users.readers.push_back(i);
        continue;
      }
      for (const int32_t reader : users.readers) wait_for(reader);
      users = {i, {}};
    }
    node.queue = queue_of(action);
    if (node.queue != message) wait_for(newest[node.queue]);
    // Nothing runs ahead of its place in the list by more than the computation before it: memory is bounded
    // by it.
    if (node.queue != compute && newest[compute] >= 0) {
      nodes[static_cast<size_t>(newest[compute])].after_begin.push_back(i);
      ++node.missing;
    }
    newest[node.queue] = i;
  }
  return nodes;
}

class Run {
 public:
  Run(std::span<const Program> programs, const CostModel& costs) : programs_(programs), costs_(costs) {
    for (const Program& program : programs) nodes_.push_back(dependencies(program));
  }

  // Sequence numbers per rank and position.
  std::vector<std::vector<Node>> run() {
    for (int rank = 0; rank < static_cast<int>(nodes_.size()); ++rank)
      for (int32_t i = 0; i < static_cast<int32_t>(nodes_[static_cast<size_t>(rank)].size()); ++i)
        if (node({rank, i}).missing == 0) arrive({rank, i});
    int64_t sequence = 0;
    size_t done = 0, all = 0;
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      double seconds = 0;
      for (const Place& place : event.places) seconds = std::max(seconds, costs_.seconds(action(place)));
      for (const Place& place : event.places) {
        node(place).sequence = sequence;
        ++done;
      }
      ++sequence;
      for (const Place& place : event.places) {
        for (const int32_t next : node(place).after_begin) release({place.rank, next}, event.time);
        for (const int32_t next : node(place).after_end) release({place.rank, next}, event.time + seconds);
      }
    }
    for (const auto& nodes : nodes_) all += nodes.size();
    check(done == all, "[order_globally] the job cannot end: {}", where_they_stand());
    return std::move(nodes_);
  }

 private:
  struct Place {
    int rank;
    int32_t position;
  };
  struct Event {
    double time;
    int64_t order;  // of arrival: ties are broken the same way everywhere
    std::vector<Place> places;

    bool operator<(const Event& other) const {  // for a queue that gives the largest first
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  Node& node(const Place& place) {
    return nodes_[static_cast<size_t>(place.rank)][static_cast<size_t>(place.position)];
  }
  const Action& action(const Place& place) const {
    return programs_[static_cast<size_t>(place.rank)].list[static_cast<size_t>(place.position)];
  }

  void release(const Place& place, double time) {
    Node& next = node(place);
    next.ready = std::max(next.ready, time);
    if (--next.missing == 0) arrive(place);
  }

  void arrive(const Place& place) {
    const Action& next = action(place);
    const Program& program = programs_[static_cast<size_t>(place.rank)];
    const int twin = next.block >= 0 ? program.blocks[static_cast<size_t>(next.block)].twin : -1;
    const auto meeting = meeting_of(next, place.rank, static_cast<int>(programs_.size()), twin);
    if (!meeting) return events_.push({node(place).ready, arrivals_++, {place}});
    Event& gathering = meetings_[meeting->key];
    gathering.time = std::max(gathering.time, node(place).ready);
    gathering.places.push_back(place);
    if (static_cast<int>(gathering.places.size()) < meeting->participants) return;
    gathering.order = arrivals_++;
    events_.push(std::move(gathering));
    meetings_.erase(meeting->key);
  }

  std::string where_they_stand() {
    std::string text;
    for (int rank = 0; rank < static_cast<int>(nodes_.size()); ++rank)
      for (size_t queue = 0; queue < kNumQueues; ++queue)
        for (int32_t i = 0; i < static_cast<int32_t>(nodes_[static_cast<size_t>(rank)].size()); ++i) {
          const Node& at = node({rank, i});
          if (at.queue != queue || at.sequence >= 0) continue;
          text += fmt::format("{}rank {} has not begun action {} `{}`{}", text.empty() ? "" : "; ", rank, i,
                              action({rank, i}), at.missing == 0 ? ", which waits for another rank" : "");
          break;
        }
    return text;
  }

  std::span<const Program> programs_;
  const CostModel& costs_;
  std::vector<std::vector<Node>> nodes_;
  std::priority_queue<Event> events_;
  std::map<uint64_t, Event> meetings_;
  int64_t arrivals_ = 0;
};

}  // namespace

void order_globally(std::span<Program> programs, const CostModel& costs) {
  const std::vector<std::vector<Node>> nodes = Run(programs, costs).run();
  for (size_t rank = 0; rank < programs.size(); ++rank) {
    std::vector<Action>& list = programs[rank].list;
    std::vector<size_t> order(list.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return nodes[rank][a].sequence < nodes[rank][b].sequence; });
    std::vector<Action> sorted;
    sorted.reserve(list.size());
    for (const size_t i : order) sorted.push_back(list[i]);
    list = std::move(sorted);
  }
}

}  // namespace strata
