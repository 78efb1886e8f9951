// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "launch/metrics/chart.h"
#include "launch/metrics/humanize.h"
#include "launch/metrics/report_style.h"

namespace strata {
namespace {

using Records = std::span<const StepRecord>;

template <typename Value>
Curve curve_of(Records records, Value value) {
  Curve curve;
  for (const StepRecord& r : records) curve.push_back({static_cast<double>(r.step), value(r)});
  return curve;
}

// Raw values faint, their mean over about a fortieth of the run on top; a short run needs no smoothing.
void add_smoothed(Chart& chart, const char* label, const char* color, const Curve& raw) {
  constexpr size_t kShort = 40;
  if (raw.size() < kShort) {
    chart.series.push_back({label, color, Series::Look::line, raw});
    return;
  }
  chart.series.push_back({"", color, Series::Look::faint, raw});
  std::vector<double> values;
  for (const CurvePoint& p : raw) values.push_back(p.y);
  chart.series.push_back(
      {label, color, Series::Look::line, smoothed(raw, raw.size() / 80 + 1, outlier_limit(values))});
}

std::vector<Chart> charts_of(Records records) {
  std::vector<Chart> charts;
  Chart loss{.title = "Loss", .wide = true};
  add_smoothed(loss, "train", "c1", curve_of(records, [](const StepRecord& r) { return r.loss; }));
  Curve valid;
  for (const StepRecord& r : records)
    if (r.valid_loss) valid.push_back({static_cast<double>(r.step), *r.valid_loss});
  if (!valid.empty()) {
    const auto look = valid.size() <= 100 ? Series::Look::dotted_line : Series::Look::line;
    loss.series.push_back({"validation", "c2", look, valid});
  }
  charts.push_back(std::move(loss));

  charts.push_back(
      {.title = "Learning rate",
       .from_zero = true,
       .series = {{"", "c3", Series::Look::line, curve_of(records, [](auto& r) { return r.lr; })}}});

  Chart norm{.title = "Gradient norm", .from_zero = true};
  add_smoothed(norm, "", "c4", curve_of(records, [](auto& r) { return r.grad_norm; }));
  charts.push_back(std::move(norm));

  Chart speed{.title = "Tokens per second", .unit = Chart::Unit::count, .from_zero = true};
  add_smoothed(speed, "", "c1", curve_of(records, [](auto& r) { return r.tokens_per_second(); }));
  charts.push_back(std::move(speed));

  Chart memory{.title = "Memory", .unit = Chart::Unit::bytes, .from_zero = true};
  auto tier = [&](const char* name, const char* color, TierUse MemoryUse::*tier) {
    const bool used =
        std::any_of(records.begin(), records.end(), [&](auto& r) { return (r.memory.*tier).peak_bytes > 0; });
    if (!used) return;
    auto bytes = [&](const StepRecord& r) { return static_cast<double>((r.memory.*tier).bytes); };
    memory.series.push_back({name, color, Series::Look::line, curve_of(records, bytes)});
  };
  tier("device", "c1", &MemoryUse::device);
  tier("host", "c2", &MemoryUse::host);
  tier("nvme", "c3", &MemoryUse::nvme);
  if (!memory.series.empty()) charts.push_back(std::move(memory));

  if (std::any_of(records.begin(), records.end(), [](auto& r) { return r.mfu.has_value(); })) {
    Chart mfu{.title = "Model FLOPs utilisation", .unit = Chart::Unit::percent, .from_zero = true};
    add_smoothed(mfu, "", "c3", curve_of(records, [](auto& r) { return r.mfu.value_or(std::nan("")); }));
    charts.push_back(std::move(mfu));
  }
  return charts;
}

// Figures over the whole run.
struct Totals {
  double seconds = 0, best_loss = HUGE_VAL, best_valid = HUGE_VAL, last_valid = 0;
  int64_t tokens = 0, best_valid_step = 0, skipped = 0, nonfinite = 0;
};

Totals totals_of(Records records) {
  Totals t;
  for (const StepRecord& r : records) {
    t.seconds += r.step_seconds;
    t.tokens += r.tokens;
    t.skipped += r.skipped;
    t.nonfinite += !std::isfinite(r.loss) || !std::isfinite(r.grad_norm);
    if (std::isfinite(r.loss)) t.best_loss = std::min(t.best_loss, r.loss);
    if (!r.valid_loss) continue;
    t.last_valid = *r.valid_loss;
    if (std::isfinite(t.last_valid) && t.last_valid < t.best_valid) {
      t.best_valid = t.last_valid;
      t.best_valid_step = r.step;
    }
  }
  return t;
}

std::string loss_text(double loss) {
  return std::isfinite(loss) ? fmt::format("{:.4f}", loss) : "not finite";
}

std::string cards(Records records, const Totals& t) {
  const StepRecord& last = records.back();
  std::string html;
  auto card = [&](const char* label, const std::string& value, const std::string& note) {
    html += fmt::format("<div class=\"card\"><span>{}</span><b>{}</b><small>{}</small></div>\n", label, value,
                        note);
  };
  card("Training loss", loss_text(last.loss), "best " + loss_text(t.best_loss));
  card("Validation loss", t.best_valid_step > 0 ? loss_text(t.last_valid) : "&ndash;",
       t.best_valid_step > 0 ? fmt::format("best {}, step {}", loss_text(t.best_valid), t.best_valid_step)
                             : "not evaluated yet");
  const int64_t total = last.steps_total;
  card("Steps", std::to_string(last.step),
       total > 0 ? fmt::format("of {} ({:.0f}%)", total,
                               100 * static_cast<double>(last.step) / static_cast<double>(total))
                 : "");
  card("Tokens", human_count(static_cast<double>(last.tokens_seen)),
       human_count(static_cast<double>(last.tokens)) + " per step");
  const double speed = t.seconds > 0 ? static_cast<double>(t.tokens) / t.seconds : 0;
  card("Speed", human_count(speed), "tokens/s, mean");
  card("Time in steps", human_duration(t.seconds),
       human_duration(t.seconds / static_cast<double>(records.size())) + " per step");
  return "<section class=\"cards\">\n" + html + "</section>\n";
}

std::string table(const RunSummary& summary, Records records, const Totals& t) {
  std::string rows;
  auto row = [&](const std::string& key, const std::string& value) {
    if (!value.empty())
      rows += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escape_html(key), escape_html(value));
  };
  row("Model", summary.model);
  if (summary.parameters > 0)
    row("Parameters",
        fmt::format("{} ({})", human_count(static_cast<double>(summary.parameters)), summary.parameters));
  row("Machine", summary.machine);
  if (!records.empty()) {
    const MemoryUse& m = records.back().memory;
    std::string peaks;
    auto peak = [&](const char* name, const TierUse& use) {
      if (use.peak_bytes > 0)
        peaks += fmt::format("{}{} {}", peaks.empty() ? "" : ", ", name, human_bytes(use.peak_bytes));
    };
    peak("device", m.device);
    peak("host", m.host);
    peak("nvme", m.nvme);
    row("Peak memory", peaks);
  }
  if (t.skipped > 0) row("Skipped steps", std::to_string(t.skipped));
  if (t.nonfinite > 0) row("Non-finite steps", std::to_string(t.nonfinite));
  for (const auto& [key, value] : summary.facts) row(key, value);
  return rows.empty() ? "" : "<section class=\"panel\"><table>\n" + rows + "</table></section>\n";
}

}  // namespace

std::string report_html(const RunSummary& summary, Records records) {
  const Totals totals = totals_of(records);
  const std::string name = escape_html(summary.name);
  std::string html =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
      name + "</title>\n<style>" + kReportStyle + "</style>\n</head>\n<body>\n<main>\n<header><h1>" + name +
      "</h1><span class=\"state\">" + escape_html(summary.state) + "</span><p>" + escape_html(summary.model) +
      "</p></header>\n";
  if (records.empty()) {
    html += "<p>No step has finished yet.</p>\n";
  } else {
    html += cards(records, totals) + "<section class=\"grid2\">\n";
    for (const Chart& chart : charts_of(records)) html += to_html(chart);
    html += "</section>\n";
  }
  html += table(summary, records, totals);
  if (!summary.config_text.empty())
    html += "<details class=\"panel\"><summary>Configuration</summary><pre>" +
            escape_html(summary.config_text) + "</pre></details>\n";
  return html + "<footer>Loss in nats per token. Written by Strata.</footer>\n</main>\n</body>\n</html>\n";
}

void write_report(FileSystem& files, const std::string& path, const RunSummary& summary, Records records) {
  replace_file(files, path, report_html(summary, records));
}

}  // namespace strata
