// SPDX-License-Identifier: Apache-2.0
#include "core/program/job_walk.h"

#include <fmt/format.h>

#include <deque>
#include <map>
#include <vector>

#include "core/program/meeting.h"

namespace strata {
namespace {

class Walk {
 public:
  Walk(std::span<const LinkedProgram> programs, int steps, const JobVisit& visit)
      : programs_(programs), steps_(steps), visit_(visit), lanes_(programs.size()) {}

  std::string run() {
    for (int rank = 0; rank < ranks(); ++rank) wake(rank);
    while (!queue_.empty()) {
      const Place place = queue_.front();
      queue_.pop_front();
      lane(place).queued = false;
      advance(place);
    }
    return where_they_stand();
  }

 private:
  struct Place {
    int rank;
    size_t lane;
  };
  struct LaneState {
    int64_t done = 0;
    bool queued = false;
    bool standing = false;  // at a meeting, waiting for the others
  };
  struct Standing {
    std::vector<Participant> participants;
    std::vector<Place> places;
  };

  int ranks() const { return static_cast<int>(programs_.size()); }
  LaneState& lane(const Place& place) { return lanes_[static_cast<size_t>(place.rank)][place.lane]; }
  const LinkedProgram& program(int rank) const { return programs_[static_cast<size_t>(rank)]; }
  int64_t length(const Place& place) const {
    return static_cast<int64_t>(program(place.rank).lanes[place.lane].size());
  }
  int step(const Place& place) { return static_cast<int>(lane(place).done / length(place)); }
  bool finished(const Place& place) { return lane(place).done == steps_ * length(place); }
  int32_t position(const Place& place) {
    return program(place.rank).lanes[place.lane][static_cast<size_t>(lane(place).done % length(place))];
  }
  const Action& action(const Place& place) {
    return program(place.rank).program.list[static_cast<size_t>(position(place))];
  }

  void wake(int rank) {
    for (size_t l = 0; l < kNumLanes; ++l) {
      const Place place{rank, l};
      LaneState& state = lane(place);
      if (state.queued || state.standing || length(place) == 0) continue;
      state.queued = true;
      queue_.push_back(place);
    }
  }

  // The wait the lane stands at; null: it may go on.
  const Wait* blocked(const Place& place) {
    for (const Wait& wait : program(place.rank).waits_of(position(place))) {
      const Place other{place.rank, static_cast<size_t>(wait.lane)};
      if (lane(other).done < (step(place) - (wait.previous_step ? 1 : 0)) * length(other) + wait.sequence + 1)
        return &wait;
    }
    return nullptr;
  }

  void advance(const Place& place) {
    bool progress = false;
    while (!finished(place) && !lane(place).standing && !blocked(place)) {
      const Action& next = action(place);
      const int twin =
          next.block >= 0 && static_cast<size_t>(next.block) < program(place.rank).program.blocks.size()
              ? program(place.rank).program.blocks[static_cast<size_t>(next.block)].twin
              : -1;
      const auto meeting = meeting_of(next, place.rank, ranks(), twin);
      if (!meeting) {
        const Participant alone{place.rank, position(place)};
        visit_(step(place), std::span(&alone, 1));
        ++lane(place).done;
        progress = true;
        continue;
      }
      lane(place).standing = true;
      meet(place, *meeting);
      return;  // the meeting, if it took place, woke this rank too
    }
    if (progress) wake(place.rank);
  }

  void meet(const Place& place, const Meeting& meeting) {
    const auto name = std::pair{meeting.key, step(place)};
    Standing& standing = standing_[name];
    standing.participants.push_back({place.rank, position(place)});
    standing.places.push_back(place);
    if (static_cast<int>(standing.participants.size()) < meeting.participants) return wake(place.rank);
    visit_(name.second, standing.participants);
    const std::vector<Place> places = std::move(standing.places);
    standing_.erase(name);
    for (const Place& member : places) {
      lane(member).standing = false;
      ++lane(member).done;
    }
    for (const Place& member : places) wake(member.rank);
  }

  std::string where_they_stand() {
    std::string text;
    for (int rank = 0; rank < ranks(); ++rank)
      for (size_t l = 0; l < kNumLanes; ++l) {
        const Place place{rank, l};
        if (length(place) == 0 || finished(place)) continue;
        if (!text.empty()) text += "; ";
        if (ranks() > 1) text += fmt::format("rank {} ", rank);
        text += fmt::format("lane {} waits at action {} `{}` ", name(static_cast<Lane>(l)), position(place),
                            action(place));
        if (lane(place).standing) {
          text += action(place).peer >= 0 ? fmt::format("for rank {}", action(place).peer)
                                          : "for the other ranks";
          continue;
        }
        const Wait& wait = *blocked(place);
        const auto& other = program(rank).lanes[static_cast<size_t>(wait.lane)];
        const auto at = static_cast<size_t>(wait.sequence);
        text += fmt::format("for `{}` of lane {}{}",
                            at < other.size()
                                ? to_string(program(rank).program.list[static_cast<size_t>(other[at])])
                                : "nothing",
                            name(wait.lane), wait.previous_step ? " in the step before" : "");
      }
    return text;
  }

  std::span<const LinkedProgram> programs_;
  int steps_;
  const JobVisit& visit_;
  std::vector<std::array<LaneState, kNumLanes>> lanes_;
  std::deque<Place> queue_;
  std::map<std::pair<uint64_t, int>, Standing> standing_;  // by meeting and step
};

}  // namespace

std::string walk_job(std::span<const LinkedProgram> programs, int steps, const JobVisit& visit) {
  return Walk(programs, steps, visit).run();
}

}  // namespace strata
