// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "core/base/check.h"
#include "tests/launch/metrics/sample_run.h"

namespace strata {
namespace {

using nlohmann::json;

std::vector<json> events_of_kind(const json& trace, const std::string& kind) {
  std::vector<json> found;
  for (const json& event : trace.at("traceEvents"))
    if (event.at("ph") == kind) found.push_back(event);
  return found;
}

// (process name, lane name) by the numbers that events refer to.
struct Names {
  std::map<int, std::string> processes;
  std::map<std::pair<int, int>, std::string> lanes;
};
Names names_of(const json& trace) {
  Names names;
  for (const json& event : events_of_kind(trace, "M")) {
    if (event["name"] == "process_name") names.processes[event["pid"]] = event["args"]["name"];
    if (event["name"] == "thread_name") names.lanes[{event["pid"], event["tid"]}] = event["args"]["name"];
  }
  return names;
}

TEST(Trace, EventsKeepTheirFieldsAndFindTheirLane) {
  const TraceProcess process{.name = "rank 0",
                             .events = {{"forward 0",
                                         "compute",
                                         "compute",
                                         10,
                                         5.25,
                                         {{"block", int64_t{3}}, {"flops", 1.5e9}, {"note", "x"}}},
                                        {"gather", "communication", "comm", 12, 1, {}}}};
  const json trace = json::parse(trace_json(std::array{process}));
  const Names names = names_of(trace);
  const auto events = events_of_kind(trace, "X");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["name"], "forward 0");
  EXPECT_EQ(events[0]["cat"], "compute");
  EXPECT_EQ(events[0]["ts"], 10);
  EXPECT_EQ(events[0]["dur"], 5.25);
  EXPECT_EQ(events[0]["args"], (json{{"block", 3}, {"flops", 1.5e9}, {"note", "x"}}));
  EXPECT_EQ(names.processes.at(events[0]["pid"]), "rank 0");
  EXPECT_EQ((names.lanes.at({events[0]["pid"], events[0]["tid"]})), "compute");
  EXPECT_EQ((names.lanes.at({events[1]["pid"], events[1]["tid"]})), "comm");
  EXPECT_NE(events[0]["tid"], events[1]["tid"]);
}

TEST(Trace, LanesStandInTheOrderAskedFor) {
  const TraceProcess process{
      .name = "rank 0",
      .events = {{"a", "", "disk", 0, 1, {}}, {"b", "", "odd", 1, 1, {}}, {"c", "", "compute", 2, 1, {}}},
      .lanes = {"compute", "disk"}};
  const json trace = json::parse(trace_json(std::array{process}));
  const Names names = names_of(trace);
  std::map<int, std::string> order;
  for (const json& event : events_of_kind(trace, "M"))
    if (event["name"] == "thread_sort_index")
      order[event["args"]["sort_index"]] = names.lanes.at({event["pid"], event["tid"]});
  EXPECT_EQ(order, (std::map<int, std::string>{{0, "compute"}, {1, "disk"}, {2, "odd"}}));
}

TEST(Trace, PlanAndRunStandInOneFile) {
  const std::array processes = {
      TraceProcess{.name = "rank 0", .events = {{"a", "", "compute", 0, 1, {}}}},
      TraceProcess{.name = "rank 0 (plan)", .events = {{"a", "", "compute", 0, 1, {}}}}};
  const json trace = json::parse(trace_json(processes));
  const Names names = names_of(trace);
  const auto events = events_of_kind(trace, "X");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(names.processes.at(events[0]["pid"]), "rank 0");
  EXPECT_EQ(names.processes.at(events[1]["pid"]), "rank 0 (plan)");
}

TEST(Trace, HardNamesSurvive) {
  const std::string hard = "quote \" back\\slash \n\t\x01 </script> \xc3\xa9 {} {{0}} %s";
  const TraceProcess process{.name = hard, .events = {{hard, hard, hard, 0, 1, {{hard, hard}}}}};
  const json trace = json::parse(trace_json(std::array{process}));
  const Names names = names_of(trace);
  const json event = events_of_kind(trace, "X").at(0);
  EXPECT_EQ(event["name"], hard);
  EXPECT_EQ(event["cat"], hard);
  EXPECT_EQ(event["args"][hard], hard);
  EXPECT_EQ(names.processes.at(event["pid"]), hard);
  EXPECT_EQ((names.lanes.at({event["pid"], event["tid"]})), hard);
  const TraceProcess broken{.name = "p", .events = {{"a\xff\xfe", "", "l", 0, 1, {}}}};
  EXPECT_EQ(events_of_kind(json::parse(trace_json(std::array{broken})), "X").at(0)["name"],
            "a\xef\xbf\xbd\xef\xbf\xbd");
}

// Random trees of events, given in a shuffled order and at times whose last digits are cut: a reader that
// keeps a stack, as the viewers do, must find every parent again.
TEST(Trace, NestingSurvivesRoundingAndOrder) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> unit(0, 1);
  TraceProcess process{.name = "rank 0", .events = {}};
  auto grow = [&](auto&& self, double start, double duration, int depth, const std::string& parent) -> void {
    const std::string name = std::to_string(process.events.size());
    process.events.push_back({name, "", "compute", start, duration, {{"parent", parent}}});
    if (depth == 0) return;
    // Children fill the parent to its edges, sharing their bounds with it and with one another.
    const double first = duration * unit(random);
    self(self, start, first, depth - 1, name);
    self(self, start + first, duration - first, depth - 1, name);
  };
  for (int i = 0; i < 20; ++i) grow(grow, 1e9 + 1000.1234567 * i, 900.7654321, 4, "");
  std::shuffle(process.events.begin(), process.events.end(), random);

  const json trace = json::parse(trace_json(std::array{process}));
  struct Open {
    std::string name;
    int64_t end_ns;
  };
  std::vector<Open> stack;
  auto ns = [](const json& us) { return std::llround(1e3 * us.get<double>()); };
  int64_t last_start = 0;
  for (const json& event : events_of_kind(trace, "X")) {
    const int64_t start = ns(event["ts"]), end = start + ns(event["dur"]);
    EXPECT_GE(start, last_start);
    last_start = start;
    while (!stack.empty() && stack.back().end_ns <= start) stack.pop_back();
    ASSERT_TRUE(stack.empty() || end <= stack.back().end_ns) << event;
    ASSERT_EQ(event["args"]["parent"], stack.empty() ? "" : stack.back().name) << event;
    stack.push_back({event["name"], end});
  }
}

TEST(Trace, TimesKeepNanoseconds) {
  const TraceProcess process{
      .name = "p", .events = {{"late", "", "l", 3600e6 + 0.001, 0.002, {}}, {"early", "", "l", -1.5, 0, {}}}};
  const auto events = events_of_kind(json::parse(trace_json(std::array{process})), "X");
  EXPECT_EQ(events[0]["ts"], -1.5);
  EXPECT_EQ(events[0]["dur"], 0);
  EXPECT_DOUBLE_EQ(events[1]["ts"].get<double>(), 3600e6 + 0.001);
  EXPECT_EQ(events[1]["dur"], 0.002);
}

TEST(Trace, AnImpossibleSpanIsRefused) {
  for (const auto& [start, duration] : {std::pair{0.0, -1.0}, {NAN, 1.0}, {0.0, INFINITY}}) {
    const TraceProcess process{.name = "p", .events = {{"bad", "", "l", start, duration, {}}}};
    EXPECT_THROW(trace_json(std::array{process}), ContractError);
  }
}

TEST(Trace, NoEventsAreStillATrace) {
  EXPECT_TRUE(json::parse(trace_json({})).at("traceEvents").empty());
  EXPECT_EQ(
      json::parse(trace_json(std::array{TraceProcess{.name = "p", .events = {}}}))["traceEvents"].size(), 2u);
}

TEST(Trace, GoesToAFile) {
  const MemoryFolder folder;
  const std::array processes = {TraceProcess{.name = "p", .events = {{"a", "", "l", 0, 1, {}}}}};
  write_trace(folder.files(), folder / "trace.json", processes);
  EXPECT_EQ(folder.read("trace.json"), trace_json(processes));
}

}  // namespace
}  // namespace strata
