// SPDX-License-Identifier: Apache-2.0
// Reads the page back: tags balance, nothing is fetched, and the drawn points map back to the records'
// values.
#include "launch/metrics/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>
#include <cmath>
#include <ctime>
#include <regex>
#include <sstream>

#include "launch/metrics/chart.h"
#include "tests/launch/metrics/sample_run.h"

namespace strata {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<StepRecord> sample_run(int64_t steps) {
  std::vector<StepRecord> records;
  for (int64_t step = 1; step <= steps; ++step) records.push_back(sample_step(step, steps));
  return records;
}

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t from = text.find(begin);
  if (from == std::string::npos) return "";
  return text.substr(from, text.find(end, from + begin.size()) + end.size() - from);
}

std::string figure_of(const std::string& html, const std::string& title) {
  for (size_t at = 0; (at = html.find("<figure", at)) != std::string::npos; ++at) {
    const std::string figure = html.substr(at, html.find("</figure>", at) - at);
    if (figure.find("<figcaption>" + title) != std::string::npos) return figure;
  }
  return "";
}

// Every element that is opened is closed in order (HTML's void elements and XML's self-closed ones apart).
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-zA-Z0-9]+)((?:\"[^\"]*\"|[^<>\"])*)>");
  for (std::sregex_iterator it(html.begin(), html.end(), tag), end; it != end; ++it) {
    const std::string name = (*it)[2], rest = (*it)[3];
    if (name == "meta" || (!rest.empty() && rest.back() == '/')) continue;
    if ((*it)[1].length() == 0) {
      open.push_back(name);
    } else {
      ASSERT_FALSE(open.empty()) << "closes " << name;
      ASSERT_EQ(open.back(), name);
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
}

// The points of a path in units of the box, y upwards, 0..1.
std::vector<std::pair<double, double>> points_of(const std::string& figure, const std::string& look) {
  const std::string data = between(figure, " " + look + "\" d=\"", "\"/>");
  std::vector<std::pair<double, double>> points;
  const std::regex number("[ML]([-0-9.]+) ([-0-9.]+)");
  for (std::sregex_iterator it(data.begin(), data.end(), number), end; it != end; ++it)
    points.emplace_back(std::stod((*it)[1]) / 1000, 1 - std::stod((*it)[2]) / 1000);
  return points;
}

// Value at the bottom and at the top of the axis, from its labels.
std::pair<double, double> axis_of(const std::string& figure) {
  const std::regex label("class=\"y\" style=\"top:([0-9.]+)%\">([-0-9.]+)<");
  double bottom = NAN, top = NAN;
  for (std::sregex_iterator it(figure.begin(), figure.end(), label), end; it != end; ++it) {
    if (std::stod((*it)[1]) == 100) bottom = std::stod((*it)[2]);
    if (std::stod((*it)[1]) == 0) top = std::stod((*it)[2]);
  }
  return {bottom, top};
}

TEST(Report, IsOneWellFormedFileThatFetchesNothing) {
  const auto records = sample_run(300);
  const std::string html = report_html({.name = "kjv", .config_text = "[run]\n"}, records);
  expect_balanced(html);
  EXPECT_THAT(html, testing::StartsWith("<!doctype html>"));
  for (const char* outside : {"http", "src=", "href=", "url(", "@import", "<script", "<link"})
    EXPECT_THAT(html, Not(HasSubstr(outside))) << outside;
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(html, HasSubstr("name=\"viewport\""));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
}

TEST(Report, HasACurveForEachFigure) {
  const auto records = sample_run(300);
  const std::string html = report_html({.name = "kjv"}, records);
  for (const char* title :
       {"Loss", "Learning rate", "Gradient norm", "Tokens per second", "Memory", "Model FLOPs utilisation"})
    EXPECT_GE(points_of(figure_of(html, title), "line").size(), 300u) << title;
  const std::string memory = figure_of(html, "Memory");
  EXPECT_THAT(memory, testing::AllOf(HasSubstr("host <b>512 MiB"), HasSubstr("nvme <b>3 GiB"),
                                     Not(HasSubstr("device"))));
}

TEST(Report, DrawnPointsAreTheRecords) {
  const auto records = sample_run(30);  // short: drawn without smoothing
  const std::string figure = figure_of(report_html({.name = "kjv"}, records), "Loss");
  const auto points = points_of(figure, "line");
  const auto [bottom, top] = axis_of(figure);
  ASSERT_EQ(points.size(), records.size());
  for (size_t i = 0; i < points.size(); ++i) {
    EXPECT_NEAR(points[i].first, static_cast<double>(i) / 29, 1e-4);
    EXPECT_NEAR(bottom + points[i].second * (top - bottom), records[i].loss, 1e-3 * (top - bottom)) << i;
  }
}

TEST(Report, SmallNumbersHaveTheirPowerInTheTitle) {
  const auto records = sample_run(30);
  const std::string figure = figure_of(report_html({.name = "kjv"}, records), "Learning rate");
  EXPECT_THAT(figure, HasSubstr("&times;10<sup>&minus;4</sup>"));
  const auto [bottom, top] = axis_of(figure);
  const auto points = points_of(figure, "line");
  for (size_t i = 0; i < points.size(); ++i)
    EXPECT_NEAR(1e-4 * (bottom + points[i].second * (top - bottom)), records[i].lr, 1e-6) << i;
}

TEST(Report, ValidationPointsAreMarked) {
  const auto records = sample_run(300);  // evaluated every 50
  EXPECT_EQ(points_of(figure_of(report_html({.name = "kjv"}, records), "Loss"), "dot").size(), 6u);
}

TEST(Report, SummaryTellsTheRun) {
  auto records = sample_run(100);
  records[9].skipped = true;
  records[10].loss = NAN;
  const RunSummary summary{.name = "kjv",
                           .state = "running",
                           .model = "llama, 6 layers",
                           .parameters = 4812345,
                           .machine = "2 cores",
                           .facts = {{"xz -9", "1.235"}},
                           .config_text = "steps = 300"};
  const std::string html = report_html(summary, records);
  for (const char* text :
       {"<h1>kjv</h1>", "running", "llama, 6 layers", "4.8M (4812345)", "2 cores", "xz -9</th><td>1.235",
        "host 600 MiB, nvme 3 GiB", "Skipped steps</th><td>1", "Non-finite steps</th><td>1",
        "<pre>steps = 300</pre>", "<b>100</b><small>of 100 (100%)", "<b>819k</b><small>8.2k per step"})
    EXPECT_THAT(html, HasSubstr(text));
  EXPECT_THAT(html, HasSubstr("Training loss</span><b>" + fmt::format("{:.4f}", records.back().loss)));
  EXPECT_THAT(html, HasSubstr(fmt::format("best {:.4f}, step 100", *records[99].valid_loss)));
}

TEST(Report, TextIsEscaped) {
  const auto records = sample_run(2);
  const std::string evil = "<script>alert(\"1\")</script> & '";
  const RunSummary summary{.name = evil,
                           .state = evil,
                           .model = evil,
                           .parameters = 1,
                           .machine = evil,
                           .facts = {{evil, evil}},
                           .config_text = evil};
  const std::string html = report_html(summary, records);
  expect_balanced(html);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; '"));
}

TEST(Report, StrangeRunsStillDraw) {
  for (const int64_t steps : {0, 1, 2, 39, 40, 41}) {
    auto records = sample_run(steps);
    for (const int kind : {0, 1, 2}) {
      for (StepRecord& r : records) {
        if (kind == 1) r.loss = r.grad_norm = NAN;
        if (kind == 2) r.loss = 2, r.lr = 0, r.step_seconds = 0, r.memory = {}, r.mfu.reset();
      }
      const std::string html = report_html({.name = "kjv"}, records);
      expect_balanced(html);
      EXPECT_THAT(html, Not(HasSubstr("inf"))) << steps << kind;
      for (const char* bad : {"Mnan", "Lnan", "nan%", " nan\""})
        EXPECT_THAT(html, Not(HasSubstr(bad))) << steps;
      if (kind == 1) continue;  // "nan" may then be in the legend, never in a drawing
      EXPECT_THAT(html, Not(HasSubstr("nan"))) << steps << kind;
    }
  }
  EXPECT_THAT(report_html({.name = "kjv"}, {}), HasSubstr("No step has finished yet"));
}

TEST(Chart, ANonFiniteValueIsAGap) {
  Chart chart{.title = "t", .series = {{"s", "c1", Series::Look::line, {{1, 1}, {2, NAN}, {3, 2}, {4, 3}}}}};
  const std::string data = between(to_html(chart), "line\" d=\"", "\"");
  EXPECT_EQ(std::count(data.begin(), data.end(), 'M'), 2);
  EXPECT_EQ(std::count(data.begin(), data.end(), 'L'), 1);
}

TEST(Chart, AnOutlierIsCutAndToldAbout) {
  Curve curve;
  for (int i = 0; i < 200; ++i) curve.push_back({double(i), 1 + 0.5 * std::sin(i)});
  curve[77].y = 900;
  const std::string html = to_html({.title = "norm", .series = {{"", "c1", Series::Look::line, curve}}});
  EXPECT_THAT(html, HasSubstr("1 point above the range, the highest 900"));
  EXPECT_LE(axis_of(html).second, 5);
  const auto points = points_of(html, "line");
  EXPECT_EQ(points.at(77).second, 1);
  EXPECT_EQ(std::count_if(points.begin(), points.end(), [](auto& p) { return p.second >= 1; }), 1);
}

TEST(Report, ALongRunStaysSmallAndQuick) {
  const auto records = sample_run(200'000);
  const std::clock_t begin = std::clock();  // CPU time: a busy neighbour process does not count
  const std::string html = report_html({.name = "kjv"}, records);
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_LT(html.size(), 400'000u);
  EXPECT_LT(seconds, 5.0);
}

TEST(Report, ReplacesTheFile) {
  const MemoryFolder folder;
  folder.write("report.html", "old");
  const auto records = sample_run(3);
  write_report(folder.files(), folder / "report.html", {.name = "kjv"}, records);
  EXPECT_EQ(folder.read("report.html"), report_html({.name = "kjv"}, records));
}

}  // namespace
}  // namespace strata
