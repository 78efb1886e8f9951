// SPDX-License-Identifier: Apache-2.0
#include "parallel/stall_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

namespace strata {
namespace {

constexpr char kSeparator = '\x1f';

double seconds(StallJudge::Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string place(const Heartbeat& beat) { return fmt::format("rank {}@{}", beat.rank, beat.host); }

std::string doing(const Heartbeat& beat) {
  std::string text = fmt::format("step {}, {}", beat.step, beat.phase);
  return beat.operation.empty() ? text + ", in no operation" : text + ", in " + beat.operation;
}

}  // namespace

std::string encode(const Heartbeat& beat) {
  const auto cut = [](std::string_view text) {
    std::string clean(text.substr(0, 250));
    std::ranges::replace(clean, kSeparator, ' ');
    return clean;
  };
  return fmt::format("{1}{0}{2}{0}{3}{0}{4}{0}{5}{0}{6}{0}{7}{0}{8}", kSeparator, beat.rank, beat.step,
                     beat.ticks, beat.waits_for_storage ? 1 : 0, beat.leaving ? 1 : 0, cut(beat.host),
                     cut(beat.phase), cut(beat.operation));
}

std::optional<Heartbeat> decode(std::string_view bytes) {
  std::array<std::string_view, 8> fields;
  for (size_t i = 0; i < fields.size(); ++i) {
    const size_t end = bytes.find(kSeparator);
    if ((end == std::string_view::npos) != (i + 1 == fields.size())) return std::nullopt;
    fields[i] = bytes.substr(0, end);
    if (i + 1 < fields.size()) bytes.remove_prefix(end + 1);
  }
  const auto number = [](std::string_view text, auto& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
  };
  Heartbeat beat;
  int storage = 0, leaving = 0;
  if (!number(fields[0], beat.rank) || !number(fields[1], beat.step) || !number(fields[2], beat.ticks) ||
      !number(fields[3], storage) || !number(fields[4], leaving))
    return std::nullopt;
  beat.waits_for_storage = storage != 0;
  beat.leaving = leaving != 0;
  beat.host = fields[5];
  beat.phase = fields[6];
  beat.operation = fields[7];
  return beat;
}

StallJudge::StallJudge(std::vector<int> ranks, View view, Clock::duration stall_timeout,
                       Clock::time_point now)
    : view_(view), timeout_(stall_timeout), progressed_(now), judged_(now) {
  for (const int rank : ranks) ranks_.push_back({rank, std::nullopt, now});
}

void StallJudge::hear(const Heartbeat& beat, Clock::time_point now) {
  for (Rank& rank : ranks_) {
    if (rank.rank != beat.rank) continue;
    if (!rank.last || rank.last->ticks != beat.ticks || beat.leaving) progressed_ = now;
    rank.last = beat;
    rank.heard = now;
  }
}

std::optional<Report> StallJudge::judge(Clock::time_point now) {
  // A process that was stopped, or a machine that slept, has heard nothing meanwhile.
  const Clock::duration gap = now - judged_;
  judged_ = now;
  if (gap > timeout_ / 2) {
    for (Rank& rank : ranks_) rank.heard += gap;
    progressed_ += gap;
  }
  if (auto report = silence(now)) return report;
  return view_ == View::whole_job ? standstill(now) : std::nullopt;
}

std::optional<Report> StallJudge::silence(Clock::time_point now) const {
  const auto silent = [&](const Rank& rank) {
    return now - rank.heard > timeout_ && !(rank.last && rank.last->leaving);
  };
  const auto first = std::ranges::find_if(ranks_, silent);
  if (first == ranks_.end()) return std::nullopt;
  std::vector<int> others;
  for (auto rank = first + 1; rank != ranks_.end(); ++rank)
    if (silent(*rank)) others.push_back(rank->rank);
  Report report{
      .what = fmt::format("rank {} has been silent for {:.1f} s", first->rank, seconds(now - first->heard)),
      .expected = fmt::format("a heartbeat at least every {:.1f} s", seconds(timeout_)),
      .fix = "see whether its process was killed or stopped, or its machine is out of reach or of memory"};
  if (!others.empty()) report.what += fmt::format(", and so have ranks {}", fmt::join(others, ", "));
  report.where = first->last ? place(*first->last) : fmt::format("rank {}", first->rank);
  report.found = first->last ? "when last heard: " + doing(*first->last) : "it has never been heard";
  return report;
}

std::optional<Report> StallJudge::standstill(Clock::time_point now) const {
  if (now - progressed_ <= timeout_) return std::nullopt;
  const Heartbeat* culprit = nullptr;
  std::map<std::string, std::vector<int>> waiting;
  for (const Rank& rank : ranks_) {
    if (!rank.last || rank.last->leaving) continue;
    // Its silence will say more than that the others wait for it.
    if (now - rank.heard > timeout_ / 2) return std::nullopt;
    if (rank.last->waits_for_storage) return std::nullopt;
    // Others wait for the one that is not waiting.
    if (rank.last->operation.empty()) {
      if (!culprit) culprit = &*rank.last;
    } else {
      waiting[rank.last->operation].push_back(rank.rank);
    }
  }
  std::string found;
  if (culprit) found = fmt::format("rank {}: {}", culprit->rank, doing(*culprit));
  for (const auto& [operation, ranks] : waiting)
    found += fmt::format("{}rank{} {} in {}", found.empty() ? "" : "; ", ranks.size() > 1 ? "s" : "",
                         fmt::join(ranks, ", "), operation);
  return Report{.what = fmt::format("no rank has done anything for {:.1f} s", seconds(now - progressed_)),
                .where = culprit ? place(*culprit) : std::string("every rank waits in an operation"),
                .found = found,
                .expected = fmt::format("progress on some rank at least every {:.1f} s", seconds(timeout_)),
                .fix = culprit ? "look at that rank first: the others wait for it; raise guard.stall_timeout "
                                 "if it is only slow"
                               : "the ranks wait for each other: run with the debug checks of communicators"};
}

std::chrono::milliseconds default_stall_timeout(double planned_step_s) {
  return std::chrono::milliseconds(std::max<int64_t>(60'000, static_cast<int64_t>(5e3 * planned_step_s)));
}

}  // namespace strata
