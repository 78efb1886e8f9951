// SPDX-License-Identifier: Apache-2.0
#include "launch/train/reporter.h"

#include <fmt/core.h>

#include <cerrno>

#include <fmt/core.h>

#include <chrono>
#include <iostream>

namespace strata {
namespace {

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

StatusOptions output_options(bool plain) {
  StatusOptions options = standard_output_options(1);
  options.terminal = options.terminal && !plain;
  return options;
}

// Cuts the file back before it is opened for appending.
MetricsLog open_metrics(FileSystem& files, const std::string& path, std::optional<int64_t> resumed_after) {
  cut_back(files, path, resumed_after.value_or(0));
  return MetricsLog(files, path);
}

}  // namespace

Reporter::Reporter(FileSystem& files, const RunFolder& folder, const LoadedConfig& loaded, RunSummary summary,
                   std::optional<int64_t> resumed_after, bool plain)
    : files_(files),
      folder_(folder),
      summary_(std::move(summary)),
      terminal_(output_options(plain).terminal),
      line_due_(loaded.config.log.every),
      status_(std::cout, output_options(plain)),
      metrics_(open_metrics(files, folder.metrics(), resumed_after)),
      trace_steps_(loaded.config.log.trace_steps) {
  if (!loaded.config.log.tensorboard) return;
  make_directories(files, folder.events());
  events_ = std::make_unique<EventFile>(files, folder.events(), wall_seconds(), resumed_after);
}

void Reporter::step(const StepRecord& record) {
  waiting_.push_back({record, wall_seconds()});
  unless_full([this] { write_waiting(); });
  // Plain lines at their period, at the first step and where there is something new to tell.
  if (terminal_ || line_due_.after(record.step) || record.step == 1 || record.valid_loss)
    status_.step(record);
}

void Reporter::complete(const StepRecord& record) {
  const std::vector<StepRecord> written = read_metrics(files_, folder_.metrics());
  if (written.empty() ? record.step == 1 : written.back().step == record.step - 1) step(record);
}

// Each record once into each file: what fails of one leaves nothing in it.
void Reporter::write_waiting() {
  for (; !waiting_.empty(); waiting_.pop_front()) {
    Waiting& next = waiting_.front();
    if (!next.in_metrics) metrics_.write(next.record);
    next.in_metrics = true;
    if (events_) events_->write(next.record, next.wall_seconds);
  }
}

template <typename Body>
void Reporter::unless_full(const Body& body) {
  try {
    body();
    full_ = false;
  } catch (const IoError& error) {
    if (error.code() != ENOSPC && error.code() != EDQUOT) throw;
    if (full_) return;
    full_ = true;
    status_.interrupt();
    fmt::print(
        stderr,
        "strata: the disk of {} is full; training goes on, metrics wait in memory until there is room\n",
        folder_.path());
  }
}

void Reporter::message(const std::string& text) {
  status_.interrupt();
  std::cout << text << '\n' << std::flush;
}

void Reporter::action(const ActionEvent& event, std::string name) {
  if (event.step >= trace_steps_) return;
  std::lock_guard lock(trace_mutex_);
  trace_.events.push_back(
      {.name = std::move(name),
       .category = std::string(strata::name(event.lane)),
       .lane = std::string(strata::name(event.lane)),
       .start_us = static_cast<double>(event.begin_ns) * 1e-3,
       .duration_us = static_cast<double>(event.end_ns - event.begin_ns) * 1e-3,
       .args = {{"step", event.step}, {"waited_us", static_cast<double>(event.wait_ns) * 1e-3}}});
}

void Reporter::write_page(const std::string& state) {
  unless_full([&] { write_whole_page(state); });
}

void Reporter::write_whole_page(const std::string& state) {
  summary_.state = state;
  write_report(files_, folder_.report(), summary_, read_metrics(files_, folder_.metrics()));
}

void Reporter::finish(const std::string& state) {
  status_.finish();
  write_waiting();
  write_whole_page(state);
  if (!trace_.events.empty()) write_trace(files_, folder_.trace(), {&trace_, 1});
}

}  // namespace strata
