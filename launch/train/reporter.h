// SPDX-License-Identifier: Apache-2.0
// Feeds everything a run shows: status line, metrics.jsonl, TensorBoard, report.html, trace.json.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/program/executor.h"
#include "launch/config/load.h"
#include "launch/metrics/event_file.h"
#include "launch/metrics/metrics_log.h"
#include "launch/metrics/report.h"
#include "launch/metrics/status_line.h"
#include "launch/metrics/trace.h"
#include "launch/train/due.h"
#include "launch/train/run_folder.h"

namespace strata {

class Reporter {
 public:
  // `resumed_after`: the step of the checkpoint the run goes on from; later lines of metrics.jsonl are cut
  // off. `plain`: lines even where the output looks like a terminal (mpirun gives its ranks one of its own).
  Reporter(FileSystem& files, const RunFolder& folder, const LoadedConfig& loaded, RunSummary summary,
           std::optional<int64_t> resumed_after, bool plain);

  // A full disk stops no training: records wait in memory until a later one finds room, which is told once.
  void step(const StepRecord& record);
  // The last step before this start, if it was not written down.
  void complete(const StepRecord& record);
  void progress(std::string_view phase, double fraction) { status_.progress(phase, fraction); }
  // A line of its own, between those of the steps.
  void message(const std::string& text);

  // Timeline of chosen steps; `name` says what an action is. Called from the lanes' threads.
  void action(const ActionEvent& event, std::string name);
  bool tracing() const { return trace_steps_ > 0; }

  // The page again, with all steps so far; left out while the disk is full. `state` as RunSummary::state.
  void write_page(const std::string& state);
  // Ends the status line, writes what waits, page and trace. Throws IoError when the disk is still full.
  void finish(const std::string& state);

 private:
  struct Waiting {
    StepRecord record;
    double wall_seconds;
    bool in_metrics = false;
  };
  void write_waiting();
  void write_whole_page(const std::string& state);
  template <typename Body>
  void unless_full(const Body& body);

  FileSystem& files_;
  const RunFolder& folder_;
  RunSummary summary_;
  bool terminal_;
  Due line_due_;  // of plain lines, when the output is no terminal
  StatusLine status_;
  MetricsLog metrics_;
  std::unique_ptr<EventFile> events_;
  std::deque<Waiting> waiting_;
  bool full_ = false;  // and told so
  int64_t trace_steps_;
  std::mutex trace_mutex_;
  TraceProcess trace_{.name = "rank 0"};
};

}  // namespace strata
