// SPDX-License-Identifier: Apache-2.0
#include "tests/core/program/schedules.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>

#include "core/base/hash.h"

namespace strata::judge {

namespace {

constexpr int64_t kCell = 64;

// 64 bytes of an arena: what they hold, and of which value. Bytes of another value are garbage to a reader
// even where it would not look at them: an update in place owns its memory.
struct Cell {
  Content content{};
  uint64_t owner = 0;

  friend bool operator==(const Cell&, const Cell&) = default;
};

class Machine {
 public:
  explicit Machine(const LinkedProgram& linked) : linked_(linked) {
    for (int tier = 0; tier < kNumTiers; ++tier)
      memory_[static_cast<size_t>(tier)].resize(
          static_cast<size_t>(linked.memory[static_cast<Tier>(tier)].arena / kCell));
    for (size_t i = 0; i < linked.program.initial.size(); ++i) {
      const PlannedBuffer& buffer = linked.buffers[i];
      for (Cell& cell : cells(buffer.value.tier, buffer.offset, buffer.bytes))
        cell = {initial_content(buffer.value), key(buffer.value)};
    }
  }

  struct Move {
    size_t lane;
    bool start;
  };

  // What may happen next.
  std::vector<Move> moves() const {
    std::vector<Move> out;
    for (size_t lane = 0; lane < kNumLanes; ++lane) {
      const size_t most = overlaps(static_cast<Lane>(lane)) ? kMostBegun : 1;
      if (!running_[lane].empty()) out.push_back({lane, false});
      if (running_[lane].size() < most && may_start(lane)) out.push_back({lane, true});
    }
    return out;
  }

  void make(const Move& move) { move.start ? start(move.lane) : end(move.lane); }

  // Of the action that ends next on the lane.
  int32_t position(size_t lane) const { return running_[lane].front().position; }
  int64_t step(size_t lane) const { return done_[lane] / length(lane); }

  bool finished() const {
    for (size_t lane = 0; lane < kNumLanes; ++lane)
      if (done_[lane] < kScheduleSteps * length(lane)) return false;
    return true;
  }

  std::string result(const Contents& expected) {
    if (!finished()) return "deadlock";
    for (size_t i = 0; i < linked_.program.initial.size(); ++i) {
      const PlannedBuffer& buffer = linked_.buffers[i];
      for (const Cell& cell : cells(buffer.value.tier, buffer.offset, buffer.bytes))
        if (cell != Cell{expected.at(key(buffer.value)), key(buffer.value)})
          return to_string(buffer.value) + " is wrong";
    }
    return "";
  }

 private:
  struct Running : Values {
    int32_t position = -1;
    int64_t number = 0;      // on its lane, over all steps
    bool disturbed = false;  // by what it found at its start
    std::map<uint64_t, Content> inputs, outputs;

    Content get(const Value& value) override {
      const auto at = inputs.find(key(value));
      if (at == inputs.end()) throw Wrong(to_string(value) + " is no operand");
      return at->second;
    }
    void make(const Value& value, const Content& content) override { outputs[key(value)] = content; }
    void change(const Value& value, const Content& content) override { outputs[key(value)] = content; }
  };

  int64_t length(size_t lane) const { return static_cast<int64_t>(linked_.lanes[lane].size()); }

  std::span<Cell> cells(Tier tier, int64_t offset, int64_t bytes) {
    return std::span(memory_[static_cast<size_t>(tier)])
        .subspan(static_cast<size_t>(offset / kCell), static_cast<size_t>(bytes / kCell));
  }
  Content garbage() { return {mix64(++garbage_), ~0ull, garbage_, 0}; }

  int64_t begun(size_t lane) const { return done_[lane] + static_cast<int64_t>(running_[lane].size()); }
  bool may_start(size_t lane) const {
    if (begun(lane) == kScheduleSteps * length(lane)) return false;
    const int64_t step = begun(lane) / length(lane);
    const int32_t next = linked_.lanes[lane][static_cast<size_t>(begun(lane) % length(lane))];
    for (const Wait& wait : linked_.waits_of(next)) {
      const auto other = static_cast<size_t>(wait.lane);
      if (done_[other] < (step - (wait.previous_step ? 1 : 0)) * length(other) + wait.sequence + 1)
        return false;
    }
    return true;
  }

  // Whether the bytes hold one content of the operand's value all over; `content` becomes it.
  bool read(const Operand& operand, Content& content) {
    const auto bytes = cells(operand.value.tier, operand.offset, operand.bytes);
    content = bytes[0].content;
    const Cell whole{content, key(operand.value)};
    return std::all_of(bytes.begin(), bytes.end(), [&](const Cell& cell) { return cell == whole; });
  }
  bool holds(const Operand& operand, const Content& expected) {
    Content now;
    return read(operand, now) && now == expected;
  }
  void fill(const Operand& operand, const Content& content) {
    for (Cell& cell : cells(operand.value.tier, operand.offset, operand.bytes))
      cell = {content, key(operand.value)};
  }

  // What counts into the map does so when it ends, in any order with others of its lane.
  void start(size_t lane) {
    Running run;
    run.number = begun(lane);
    run.position = linked_.lanes[lane][static_cast<size_t>(run.number % length(lane))];
    for (const Operand& operand : linked_.operands_of(run.position)) {
      if (operand.access == Access::create) continue;
      Content& found = run.inputs[key(operand.value)];
      run.disturbed |= !read(operand, found);
      run.disturbed |= commutes(operand) && found[3] == kPoison;
    }
    apply(linked_.program.list[static_cast<size_t>(run.position)], linked_.program, run.number / length(lane),
          {}, run);
    for (const Operand& operand : linked_.operands_of(run.position))
      if (writes(operand.access) && !commutes(operand)) fill(operand, poison(lane, run));
    running_[lane].push_back(std::move(run));
  }

  void end(size_t lane) {
    Running run = std::move(running_[lane].front());
    running_[lane].pop_front();
    bool disturbed = run.disturbed;
    for (const Operand& operand : linked_.operands_of(run.position)) {
      if (commutes(operand)) {
        disturbed |= !add_to_map(operand, run);
        continue;
      }
      disturbed |=
          !holds(operand, writes(operand.access) ? poison(lane, run) : run.inputs.at(key(operand.value)));
    }
    // Results that lie over each other are none.
    const auto write = [&](auto content_of) {
      for (const Operand& operand : linked_.operands_of(run.position))
        if (writes(operand.access)) fill(operand, content_of(operand));
    };
    // An effect without an output leaves garbage: then the table of effects and the judge disagree.
    for (const Operand& operand : linked_.operands_of(run.position))
      disturbed |= writes(operand.access) && !run.outputs.contains(key(operand.value));
    const auto garbage_for = [&](const Operand&) { return garbage(); };
    const auto output_for = [&](const Operand& operand) { return run.outputs.at(key(operand.value)); };
    if (!disturbed) write(output_for);
    for (const Operand& operand : linked_.operands_of(run.position))
      disturbed |= writes(operand.access) && !disturbed && !holds(operand, output_for(operand));
    if (disturbed) write(garbage_for);
    ++done_[lane];
  }
  // What the action adds to the map goes onto what the map holds now. False when somebody is at work on it.
  bool add_to_map(const Operand& operand, Running& run) {
    const auto output = run.outputs.find(key(operand.value));
    if (output == run.outputs.end()) return false;
    Content now;
    if (!read(operand, now) || now[3] == kPoison) return false;
    const Content& before = run.inputs.at(key(operand.value));
    for (size_t i = 0; i < now.size(); ++i) output->second[i] = now[i] + (output->second[i] - before[i]);
    return true;
  }
  static constexpr uint64_t kPoison = ~0ull;
  static constexpr size_t kMostBegun = 4;
  static Content poison(size_t lane, const Running& run) {
    return {static_cast<uint64_t>(run.number), lane, 7, kPoison};
  }

  const LinkedProgram& linked_;
  std::array<std::vector<Cell>, kNumTiers> memory_;
  std::array<std::deque<Running>, kNumLanes> running_;
  std::array<int64_t, kNumLanes> done_{};
  uint64_t garbage_ = 0;
};

}  // namespace

std::string run_at_random(const LinkedProgram& linked, const Contents& expected,
                          random_programs::Random& random) {
  Machine machine(linked);
  // Some lanes are slow in this run: what one timing hides another one shows.
  std::array<int, kNumLanes> speed;
  for (int& s : speed) s = random_programs::draw(random, 1, 20);
  for (;;) {
    const auto moves = machine.moves();
    if (moves.empty()) return machine.result(expected);
    int total = 0;
    for (const auto& move : moves) total += speed[move.lane];
    int at = random_programs::draw(random, 0, total - 1);
    for (const auto& move : moves)
      if ((at -= speed[move.lane]) < 0) {
        machine.make(move);
        break;
      }
  }
}

std::string run_holding(const LinkedProgram& linked, const Contents& expected, int32_t position) {
  Machine machine(linked);
  const auto held_lane = static_cast<size_t>(linked.actions[static_cast<size_t>(position)].lane);
  for (;;) {
    const auto moves = machine.moves();
    if (moves.empty()) return machine.result(expected);
    const auto is_held = [&](const Machine::Move& move) {
      return !move.start && move.lane == held_lane && machine.position(move.lane) == position &&
             machine.step(move.lane) == 1;
    };
    // The held lane hurries up to the action, the others come first after that.
    auto best = moves.end();
    for (auto at = moves.begin(); at != moves.end(); ++at)
      if (!is_held(*at) && (best == moves.end() || at->lane == held_lane)) best = at;
    machine.make(best != moves.end() ? *best : moves.front());
  }
}

std::string judge_linked(const LinkedProgram& linked, int tries, random_programs::Random& random) {
  const Contents expected = reference(linked.program, kScheduleSteps, {});
  for (int i = 0; i < tries; ++i)
    if (std::string wrong = run_at_random(linked, expected, random); !wrong.empty()) return wrong;
  for (size_t i = 0; i < linked.actions.size(); ++i)
    if (linked.actions[i].runs)
      if (std::string wrong = run_holding(linked, expected, static_cast<int32_t>(i)); !wrong.empty())
        return wrong;
  return "";
}

}  // namespace strata::judge
