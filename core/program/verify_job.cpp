// SPDX-License-Identifier: Apache-2.0
// The proof about several ranks: each one's program, then what they do together.
#include <fmt/format.h>

#include <map>

#include "core/base/check.h"
#include "core/program/job_walk.h"
#include "core/program/meeting.h"
#include "core/program/verify.h"

namespace strata {
namespace {

class JobChecker {
 public:
  JobChecker(std::span<const LinkedProgram> programs, const VerifyOptions& options)
      : programs_(programs), options_(options) {}

  std::vector<JobProblem> run() {
    for (int rank = 0; rank < ranks(); ++rank)
      for (Problem& problem : verify(linked(rank), options_))
        if (problems_.size() < kMostProblems) problems_.push_back({rank, std::move(problem)});
    if (problems_.empty()) agreement();
    if (problems_.empty()) messages();
    if (problems_.empty()) progress();
    return std::move(problems_);
  }

 private:
  template <typename... Args>
  void report(int rank, int32_t position, fmt::format_string<Args...> text, Args&&... args) {
    if (problems_.size() < kMostProblems)
      problems_.push_back({rank, {position, fmt::format(text, std::forward<Args>(args)...)}});
  }
  int ranks() const { return static_cast<int>(programs_.size()); }
  const LinkedProgram& linked(int rank) const { return programs_[static_cast<size_t>(rank)]; }
  const Program& program(int rank) const { return linked(rank).program; }

  // One model, one step: what the programs say of it is the same, and every block is on one rank.
  void agreement() {
    const Program& first = program(0);
    for (int rank = 1; rank < ranks(); ++rank) {
      const Program& other = program(rank);
      if (other.goal != first.goal || other.micro_batches != first.micro_batches ||
          other.ranks != first.ranks || other.blocks.size() != first.blocks.size()) {
        report(rank, -1, "has {} micro-batches, {} ranks and {} blocks, rank 0 has {}, {} and {}",
               other.micro_batches, other.ranks, other.blocks.size(), first.micro_batches, first.ranks,
               first.blocks.size());
        return;
      }
    }
    if (ranks() > 1 && first.ranks < ranks())
      return report(0, -1, "{} pipeline ranks in a job of {} ranks", ranks(), first.ranks);
    for (size_t b = 0; b < first.blocks.size(); ++b) {
      int holders = 0;
      for (int rank = 0; rank < ranks(); ++rank) {
        BlockInfo info = program(rank).blocks[b];
        holders += info.here ? 1 : 0;
        info.here = first.blocks[b].here;
        if (info != first.blocks[b]) report(rank, -1, "knows block {} otherwise than rank 0", b);
      }
      if (holders != 1) report(-1, -1, "block {} is held by {} pipeline ranks", b, holders);
    }
  }

  // Each message has one counterpart, at the rank it names, of the same size.
  void messages() {
    struct Party {
      int rank;
      int32_t position;
      int64_t bytes;
      int participants;
    };
    std::map<uint64_t, std::vector<Party>> meetings;
    for (int rank = 0; rank < ranks(); ++rank)
      for (int32_t i = 0; i < static_cast<int32_t>(program(rank).list.size()); ++i) {
        const Action& action = program(rank).list[static_cast<size_t>(i)];
        if (action.peer >= ranks() || action.peer == rank) {
          report(rank, i, "action {} `{}` names rank {} of {}", i, action, action.peer, ranks());
          continue;
        }
        const auto meeting = meeting_of(action, rank, ranks(), twin(rank, action));
        if (!meeting) continue;
        int64_t bytes = 0;
        if (action.kind == Kind::send || action.kind == Kind::receive)
          for (const Operand& operand : linked(rank).operands_of(i)) bytes += operand.bytes;
        meetings[meeting->key].push_back({rank, i, bytes, meeting->participants});
      }
    for (const auto& [key, parties] : meetings) {
      const Party& one = parties.front();
      const Action& action = program(one.rank).list[static_cast<size_t>(one.position)];
      if (static_cast<int>(parties.size()) != one.participants) {
        report(one.rank, one.position, "action {} `{}` meets {} ranks, {} come", one.position, action,
               one.participants, parties.size());
        continue;
      }
      for (const Party& other : parties) {
        if (&other == &one) continue;
        const Action& with = program(other.rank).list[static_cast<size_t>(other.position)];
        if (other.rank == one.rank)
          report(other.rank, other.position, "action {} `{}` meets `{}` of its own rank", other.position,
                 with, action);
        if (action.kind == Kind::send || action.kind == Kind::receive) {
          if (with.kind == action.kind)
            report(other.rank, other.position,
                   "action {} `{}` meets `{}` of rank {}: one must send, one receive", other.position, with,
                   action, one.rank);
          if (other.bytes != one.bytes)
            report(other.rank, other.position, "action {} `{}` has {} bytes, `{}` of rank {} has {}",
                   other.position, with, other.bytes, action, one.rank, one.bytes);
        }
      }
    }
  }

  void progress() {
    const std::string deadlock = walk_job(programs_, 2, [](int, std::span<const Participant>) {});
    if (!deadlock.empty()) report(-1, -1, "the ranks wait for each other for ever: {}", deadlock);
  }

  int twin(int rank, const Action& action) const {
    return action.block >= 0 && action.kind == Kind::tie
               ? program(rank).blocks[static_cast<size_t>(action.block)].twin
               : -1;
  }

  std::span<const LinkedProgram> programs_;
  const VerifyOptions& options_;
  std::vector<JobProblem> problems_;
};

}  // namespace

std::vector<JobProblem> verify_job(std::span<const LinkedProgram> programs, const VerifyOptions& options) {
  return JobChecker(programs, options).run();
}

std::string explain(std::span<const LinkedProgram> programs, const std::vector<JobProblem>& problems) {
  std::string text;
  for (const JobProblem& problem : problems) {
    if (problem.rank < 0) {
      text += problem.problem.text + "\n";
      continue;
    }
    if (programs.size() > 1) text += fmt::format("pipeline rank {}: ", problem.rank);
    text += explain(programs[static_cast<size_t>(problem.rank)].program, {problem.problem});
  }
  return text;
}

}  // namespace strata
