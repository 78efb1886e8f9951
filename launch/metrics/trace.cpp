// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/base/check.h"

namespace strata {
namespace {

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string value_text(const TraceEvent::Value& value) {
  if (const auto* number = std::get_if<double>(&value)) return nlohmann::json(*number).dump();
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  return json_string(std::get<std::string>(value));
}

std::string microseconds(int64_t ns) {
  const int64_t magnitude = std::abs(ns);
  return fmt::format("{}{}.{:03}", ns < 0 ? "-" : "", magnitude / 1000, magnitude % 1000);
}

// The lines of one file, joined with commas.
class Lines {
 public:
  void metadata(const char* kind, size_t process, size_t lane, const std::string& args) {
    add(fmt::format(R"({{"ph": "M", "name": "{}", "pid": {}, "tid": {}, "args": {{{}}}}})", kind, process,
                    lane, args));
  }

  // The span is given in nanoseconds apart from the event: see Placed.
  void event(const TraceEvent& event, int64_t start_ns, int64_t end_ns, size_t process, size_t lane) {
    std::string args;
    for (const auto& [key, value] : event.args)
      args += fmt::format("{}{}: {}", args.empty() ? "" : ", ", json_string(key), value_text(value));
    add(fmt::format(R"({{"ph": "X", "name": {}, "cat": {}, "pid": {}, "tid": {}, )"
                    R"("ts": {}, "dur": {}, "args": {{{}}}}})",
                    json_string(event.name), json_string(event.category), process, lane,
                    microseconds(start_ns), microseconds(end_ns - start_ns), args));
  }

  std::string text() const {
    return "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n" + lines_ + "\n]}\n";
  }

 private:
  void add(const std::string& line) {
    if (!lines_.empty()) lines_ += ",\n";
    lines_ += line;
  }

  std::string lines_;
};

void add_process(Lines& lines, const TraceProcess& process, size_t id) {
  std::vector<std::string> lanes = process.lanes;
  auto lane_of = [&](const TraceEvent& event) {
    const auto found = std::find(lanes.begin(), lanes.end(), event.lane);
    const size_t index = static_cast<size_t>(found - lanes.begin());
    if (found == lanes.end()) lanes.push_back(event.lane);
    return index;
  };
  // Rounding both ends, not the duration, keeps an inner event inside its outer one.
  struct Placed {
    const TraceEvent* event;
    size_t lane;
    int64_t start_ns, end_ns;
  };
  std::vector<Placed> placed;
  for (const TraceEvent& event : process.events) {
    const double end_us = event.start_us + event.duration_us;
    check(std::isfinite(event.start_us) && std::isfinite(end_us) && event.duration_us >= 0,
          "[trace] event \"{}\" starts at {} us and lasts {} us", event.name, event.start_us,
          event.duration_us);
    placed.push_back(
        {&event, lane_of(event), std::llround(1e3 * event.start_us), std::llround(1e3 * end_us)});
  }
  // Readers build the nesting from the order: an outer event comes before the inner ones that start with it.
  std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return a.start_ns != b.start_ns ? a.start_ns < b.start_ns : a.end_ns > b.end_ns;
  });

  lines.metadata("process_name", id, 0, "\"name\": " + json_string(process.name));
  lines.metadata("process_sort_index", id, 0, fmt::format("\"sort_index\": {}", id));
  for (size_t i = 0; i < lanes.size(); ++i) {
    lines.metadata("thread_name", id, i + 1, "\"name\": " + json_string(lanes[i]));
    lines.metadata("thread_sort_index", id, i + 1, fmt::format("\"sort_index\": {}", i));
  }
  for (const Placed& p : placed) lines.event(*p.event, p.start_ns, p.end_ns, id, p.lane + 1);
}

}  // namespace

std::string trace_json(std::span<const TraceProcess> processes) {
  Lines lines;
  // Numbers begin at 1: viewers take process 0 and thread 0 for the idle task of an operating system.
  for (size_t i = 0; i < processes.size(); ++i) add_process(lines, processes[i], i + 1);
  return lines.text();
}

void write_trace(FileSystem& files, const std::string& path, std::span<const TraceProcess> processes) {
  replace_file(files, path, trace_json(processes));
}

}  // namespace strata
