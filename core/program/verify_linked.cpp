// SPDX-License-Identifier: Apache-2.0
// The proof about the linked form. It trusts nothing that link() computed: names are resolved anew, and every
// access to a byte must be ordered, by lanes and waits alone, after the accesses it conflicts with.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "core/base/check.h"
#include "core/device/buffer.h"
#include "core/program/lane_walk.h"
#include "core/program/verify.h"

namespace strata {

namespace {

constexpr int kSteps = 2;  // waits reach one step back, so two steps show every pair of actions that may meet

class LinkedChecker {
 public:
  LinkedChecker(const LinkedProgram& linked, const VerifyOptions& options)
      : linked_(linked), program_(linked.program), options_(options) {}

  std::vector<Problem> run() {
    problems_ = verify(program_, options_);
    if (problems_.empty()) lanes();
    if (problems_.empty()) names();
    if (problems_.empty()) places();
    if (problems_.empty()) clocks();
    if (problems_.empty()) races();
    if (problems_.empty()) limits();
    return std::move(problems_);
  }

 private:
  template <typename... Args>
  void report(int32_t position, fmt::format_string<Args...> text, Args&&... args) {
    if (problems_.size() < kMostProblems)
      problems_.push_back({position, fmt::format(text, std::forward<Args>(args)...)});
  }
  std::string line(int32_t position) const {
    return fmt::format("action {} `{}`", position, program_.list[static_cast<size_t>(position)]);
  }
  int32_t length() const { return static_cast<int32_t>(program_.list.size()); }

  // Every action but frees sits on one place of one lane, and its waits name places that exist.
  void lanes() {
    if (linked_.actions.size() != program_.list.size())
      return report(-1, "{} linked actions for a list of {}", linked_.actions.size(), program_.list.size());
    size_t running = 0, placed = 0;
    for (const auto& lane : linked_.lanes) placed += lane.size();
    for (int32_t i = 0; i < length(); ++i) {
      const LinkedAction& action = linked_.actions[static_cast<size_t>(i)];
      const bool is_free = program_.list[static_cast<size_t>(i)].kind == Kind::free;
      if (action.runs == is_free) report(i, "{} {}", line(i), is_free ? "is on a lane" : "is on no lane");
      if (!action.runs) continue;
      ++running;
      const auto& lane = linked_.lanes[static_cast<size_t>(action.lane)];
      if (action.sequence < 0 || action.sequence >= static_cast<int32_t>(lane.size()) ||
          lane[static_cast<size_t>(action.sequence)] != i)
        report(i, "{} is not number {} of lane {}", line(i), action.sequence, name(action.lane));
      for (const Wait& wait : linked_.waits_of(i))
        if (wait.sequence < 0 ||
            wait.sequence >= static_cast<int32_t>(linked_.lanes[static_cast<size_t>(wait.lane)].size()))
          report(i, "{} waits for number {} of lane {}, which does not exist", line(i), wait.sequence,
                 name(wait.lane));
    }
    if (running != placed) report(-1, "{} actions run, the lanes hold {}", running, placed);
  }

  // Operands are the effects of the action, each name stands for one buffer from its creation to its free,
  // and initial values come back to the buffer they started in.
  void names() {
    std::unordered_map<uint64_t, int32_t> now;
    std::vector<bool> made(linked_.buffers.size(), false);
    const size_t num_initial = program_.initial.size();
    if (linked_.buffers.size() < num_initial) return report(-1, "initial values without buffers");
    std::unordered_map<uint64_t, int32_t> home;
    for (size_t i = 0; i < num_initial; ++i) {
      if (linked_.buffers[i].value != program_.initial[i])
        report(-1, "buffer {} is not that of initial value `{}`", i, program_.initial[i]);
      home[key(program_.initial[i])] = now[key(program_.initial[i])] = static_cast<int32_t>(i);
    }
    for (int32_t i = 0; i < length() && problems_.empty(); ++i) {
      const EffectList expected = effects(program_.list[static_cast<size_t>(i)], program_.blocks);
      const auto operands = linked_.operands_of(i);
      if (expected.size() != operands.size()) {
        report(i, "{} has {} operands, expected {}", line(i), operands.size(), expected.size());
        return;
      }
      size_t n = 0;
      for (const Effect& effect : expected) {
        const Operand& operand = operands[n++];
        if (operand.value != effect.value || operand.access != effect.access || operand.buffer < 0 ||
            operand.buffer >= static_cast<int32_t>(linked_.buffers.size()))
          return report(i, "{}: operand `{}` is not what the action {}", line(i), operand.value,
                        name(effect.access));
        const PlannedBuffer& buffer = linked_.buffers[static_cast<size_t>(operand.buffer)];
        if (buffer.value != effect.value || buffer.offset != operand.offset || buffer.bytes != operand.bytes)
          report(i, "{}: operand `{}` and its buffer disagree", line(i), operand.value);
        const uint64_t value = key(effect.value);
        if (effect.access == Access::create) {
          const auto at = home.find(value);
          const bool right = at != home.end() ? at->second == operand.buffer
                                              : operand.buffer >= static_cast<int32_t>(num_initial) &&
                                                    !made[static_cast<size_t>(operand.buffer)];
          if (!right) report(i, "{} creates `{}` in a buffer that is not its own", line(i), effect.value);
          made[static_cast<size_t>(operand.buffer)] = true;
          now[value] = operand.buffer;
        } else if (now[value] != operand.buffer) {
          report(i, "{} {} another buffer than the one that holds `{}`", line(i), name(effect.access),
                 effect.value);
        }
      }
    }
  }

  // Inside the arena, aligned, and clear of the lanes' working memory.
  void places() {
    struct Place {
      int64_t begin, end;
      std::string what;
    };
    std::array<std::vector<Place>, kNumTiers> fixed;  // in use all the time
    for (size_t lane = 0; lane < kNumLanes; ++lane) {
      const ScratchRegion& region = linked_.scratch[lane];
      if (region.bytes > 0)
        fixed[static_cast<size_t>(region.tier)].push_back(
            {region.offset, region.offset + region.bytes,
             fmt::format("the working memory of lane {}", name(static_cast<Lane>(lane)))});
    }
    for (size_t i = 0; i < program_.initial.size(); ++i) {
      const PlannedBuffer& buffer = linked_.buffers[i];
      if (buffer.bytes > 0)
        fixed[static_cast<size_t>(buffer.value.tier)].push_back(
            {buffer.offset, buffer.offset + buffer.bytes, fmt::format("`{}`", buffer.value)});
    }
    for (size_t tier = 0; tier < kNumTiers; ++tier) {
      auto& places = fixed[tier];
      std::stable_sort(places.begin(), places.end(),
                       [](const Place& a, const Place& b) { return a.begin < b.begin; });
      for (size_t i = 0; i + 1 < places.size(); ++i)
        if (places[i].end > places[i + 1].begin)
          report(-1, "{} and {} overlap on tier {}", places[i].what, places[i + 1].what,
                 name(static_cast<Tier>(tier)));
      const int64_t arena = linked_.memory[static_cast<Tier>(tier)].arena;
      if (!places.empty() && (places.front().begin < 0 || places.back().end > arena))
        report(-1, "{} lies outside the arena", places.back().what);
    }
    for (const PlannedBuffer& buffer : linked_.buffers) {
      if (buffer.bytes == 0) continue;
      const auto what = [&] { return fmt::format("`{}` of action {}", buffer.value, buffer.begin); };
      if (buffer.offset % kTensorAlignment != 0) report(buffer.begin, "{} is not aligned", what());
      if (buffer.offset < 0 || buffer.offset + buffer.bytes > linked_.memory[buffer.value.tier].arena)
        report(buffer.begin, "{} lies outside the arena", what());
      if (buffer.begin < 0) continue;
      const auto& places = fixed[static_cast<size_t>(buffer.value.tier)];
      auto at = std::upper_bound(places.begin(), places.end(), buffer.offset,
                                 [](int64_t offset, const Place& place) { return offset < place.end; });
      if (at != places.end() && at->begin < buffer.offset + buffer.bytes)
        report(buffer.begin, "{} overlaps {}", what(), at->what);
    }
  }

  using Clock = std::array<int32_t, kNumLanes>;

  // What is certainly done when an action begins, from lanes and waits alone; and that every action does
  // begin.
  void clocks() {
    before_.resize(static_cast<size_t>(kSteps) * linked_.actions.size());
    std::array<Clock, kNumLanes> lane{};
    const std::string deadlock = walk_lanes(linked_, kSteps, [&](int step, int32_t position) {
      const LinkedAction& action = linked_.actions[static_cast<size_t>(position)];
      Clock& clock = lane[static_cast<size_t>(action.lane)];
      for (const Wait& wait : linked_.waits_of(position)) {
        const int of_step = step - (wait.previous_step ? 1 : 0);
        if (of_step < 0) continue;
        const auto other = static_cast<size_t>(wait.lane);
        const int32_t target = linked_.lanes[other][static_cast<size_t>(wait.sequence)];
        const Clock& known = before(of_step, target);
        for (size_t l = 0; l < kNumLanes; ++l) clock[l] = std::max(clock[l], known[l]);
        clock[other] = std::max(clock[other], place(of_step, target) + 1);
      }
      before(step, position) = clock;
      // An action that ends tells of all before it on its lane; one that begins does so where none overlap.
      if (!overlaps(action.lane)) clock[static_cast<size_t>(action.lane)] = place(step, position) + 1;
    });
    if (!deadlock.empty()) report(-1, "the lanes wait for each other for ever: {}", deadlock);
  }

  Clock& before(int step, int32_t position) {
    return before_[static_cast<size_t>(step) * linked_.actions.size() + static_cast<size_t>(position)];
  }
  // Counted over both steps.
  int32_t place(int step, int32_t position) const {
    const LinkedAction& action = linked_.actions[static_cast<size_t>(position)];
    return step * static_cast<int32_t>(linked_.lanes[static_cast<size_t>(action.lane)].size()) +
           action.sequence;
  }

  // One access to a range of bytes.
  struct Touch {
    int step = -1;
    int32_t position = -1;
    int32_t buffer = -1;
  };
  // A range of bytes with one history: who wrote it last and who has read it since.
  struct Shadow {
    int64_t end = 0;
    Touch writer;
    std::array<Touch, kNumLanes> readers;  // the newest of each lane
    std::array<Touch, kNumLanes> sharers;  // that add to it in any order; the newest of each lane
  };
  using Memory = std::map<int64_t, Shadow>;

  // In the order of the list each access finds the bytes as its buffer's last writer left them; and that
  // order is enforced between every two accesses of which one writes.
  void races() {
    std::array<Memory, kNumTiers> memory;
    std::map<int32_t, Shadow> without_bytes;  // by buffer: a name alone is waited for too
    for (size_t tier = 0; tier < kNumTiers; ++tier)
      memory[tier][0] = {.end = std::max<int64_t>(linked_.memory[static_cast<Tier>(tier)].arena, 1)};
    for (size_t i = 0; i < program_.initial.size(); ++i) {
      const PlannedBuffer& buffer = linked_.buffers[i];
      each_shadow(memory[static_cast<size_t>(buffer.value.tier)], buffer.offset, buffer.bytes,
                  [&](Shadow& shadow) { shadow.writer.buffer = static_cast<int32_t>(i); });
    }
    for (int step = 0; step < kSteps; ++step)
      for (int32_t i = 0; i < length() && problems_.empty(); ++i)
        if (linked_.actions[static_cast<size_t>(i)].runs)
          for (const Operand& operand : linked_.operands_of(i)) {
            const Touch access{step, i, operand.buffer};
            if (operand.bytes == 0) {
              Shadow& shadow = without_bytes[operand.buffer];
              shadow.writer.buffer = operand.buffer;
              touch(shadow, access, operand);
              continue;
            }
            each_shadow(memory[static_cast<size_t>(operand.value.tier)], operand.offset, operand.bytes,
                        [&](Shadow& shadow) { touch(shadow, access, operand); });
          }
  }

  void touch(Shadow& shadow, const Touch& access, const Operand& operand) {
    if (operand.access != Access::create && shadow.writer.buffer != operand.buffer)
      report(access.position, "{} {} `{}`, but {} has overwritten it", line(access.position),
             name(operand.access), operand.value,
             shadow.writer.position < 0 ? "something" : line(shadow.writer.position));
    require_order(shadow.writer, access, operand);
    const auto lane = static_cast<size_t>(linked_.actions[static_cast<size_t>(access.position)].lane);
    for (size_t other = 0; other < kNumLanes; ++other)
      if (!commutes(operand) || other != lane) require_order(shadow.sharers[other], access, operand);
    if (commutes(operand)) {
      shadow.sharers[lane] = access;
      return;
    }
    if (!writes(operand.access)) {
      shadow.readers[lane] = access;
      return;
    }
    for (Touch& reader : shadow.readers) {
      require_order(reader, access, operand);
      reader = {};
    }
    shadow.sharers = {};
    shadow.writer = access;
  }

  void require_order(const Touch& first, const Touch& second, const Operand& operand) {
    if (first.position < 0) return;
    const auto lane = static_cast<size_t>(linked_.actions[static_cast<size_t>(first.position)].lane);
    if (before(second.step, second.position)[lane] > place(first.step, first.position)) return;
    report(second.position, "{} {} `{}` and does not wait for {}{}, which uses the same memory as `{}`",
           line(second.position), name(operand.access), operand.value, line(first.position),
           first.step < second.step ? " of the step before" : "",
           first.buffer < 0 ? "?" : to_string(linked_.buffers[static_cast<size_t>(first.buffer)].value));
  }

  // Calls visit for the ranges that make up [begin, begin + bytes), splitting those that reach over its ends.
  template <typename Visit>
  static void each_shadow(Memory& memory, int64_t begin, int64_t bytes, Visit visit) {
    if (bytes == 0) return;
    const int64_t end = begin + bytes;
    const auto split = [&](int64_t at) {
      auto range = std::prev(memory.upper_bound(at));
      if (range->first == at || range->second.end <= at) return;
      memory[at] = range->second;
      range->second.end = at;
    };
    split(begin);
    split(end);
    for (auto at = memory.lower_bound(begin); at != memory.end() && at->first < end; ++at) visit(at->second);
  }

  // The first action that does not fit into a tier.
  void limits() {
    for (size_t t = 0; t < kNumTiers; ++t) {
      const auto tier = static_cast<Tier>(t);
      const int64_t limit = options_.limit[t];
      if (limit <= 0 || linked_.memory[tier].arena <= limit) continue;
      const PlannedBuffer* first = nullptr;
      for (const PlannedBuffer& buffer : linked_.buffers)
        if (buffer.value.tier == tier && buffer.offset + buffer.bytes > limit &&
            (!first || buffer.begin < first->begin))
          first = &buffer;
      report(first ? first->begin : -1, "tier {} has {} bytes, the program needs {} (live at most {}){}",
             name(tier), limit, linked_.memory[tier].arena, linked_.memory[tier].live_peak,
             !first ? std::string(", beginning with working memory")
             : first->begin >= 0
                 ? fmt::format("; {} makes `{}`, which does not fit", line(first->begin), first->value)
                 : fmt::format("; `{}` does not fit", first->value));
    }
  }

  const LinkedProgram& linked_;
  const Program& program_;
  const VerifyOptions& options_;
  std::vector<Clock> before_;
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> verify(const LinkedProgram& linked, const VerifyOptions& options) {
  return LinkedChecker(linked, options).run();
}

}  // namespace strata
