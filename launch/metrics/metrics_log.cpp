// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/metrics_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace strata {
namespace {

using nlohmann::json;

// Shortest text that reads back as the same double.
std::string exact(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  return {text, std::to_chars(text, std::end(text), value).ptr};
}

// For measured values, whose further digits are noise.
std::string rounded(double value, int decimals) {
  return std::isfinite(value) ? fmt::format("{:.{}f}", value, decimals) : "null";
}

std::string json_string(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string tiers(int64_t device, int64_t host, int64_t nvme) {
  return fmt::format(R"({{"device": {}, "host": {}, "nvme": {}}})", device, host, nvme);
}

double number(const json& object, const char* key) {
  const json& value = object.at(key);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

// Calls visit(line with its newline, record) for every whole line. The last line may be half of one; damage
// anywhere else is the user's to decide about.
void for_each_line(const std::string& path, std::string_view text,
                   const std::function<void(std::string_view, StepRecord)>& visit) {
  int64_t line_number = 0;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    if (newline == std::string_view::npos) return;
    const std::string_view line = text.substr(0, newline + 1);
    text.remove_prefix(newline + 1);
    ++line_number;
    StepRecord record;
    try {
      record = parse_record(line);
    } catch (const json::exception&) {
      if (text.empty()) return;
      throw Error(Fault::data, {.what = "a line of the metrics file is damaged",
                                .where = fmt::format("{}:{}", path, line_number),
                                .found = fmt::format("{:?}", line.substr(0, std::min<size_t>(newline, 60))),
                                .expected = "a JSON object with step, loss and the other keys of a step",
                                .fix = "delete that line"});
    }
    visit(line, std::move(record));
  }
}

const std::string& without_half_line(FileSystem& files, const std::string& path) {
  cut_back(files, path, std::numeric_limits<int64_t>::max());
  return path;
}

std::string quantized(const std::map<std::string, std::map<std::string, QuantizedShare>>& layers) {
  json all;
  for (const auto& [layer, operands] : layers)
    for (const auto& [operand, share] : operands)
      all[layer][operand] = {{"saturated", share.saturated},
                             {"underflow", share.underflow},
                             {"snr_db", std::isfinite(share.snr_db) ? json(share.snr_db) : json(nullptr)}};
  return all.dump();
}

}  // namespace

std::string to_json(const StepRecord& r) {
  std::string line = fmt::format(R"({{"step": {}, "loss": {})", r.step, exact(r.loss));
  auto add = [&](const char* key, const std::string& value) {
    line += fmt::format(R"(, "{}": {})", key, value);
  };
  if (r.valid_loss) add("valid_loss", exact(*r.valid_loss));
  add("grad_norm", exact(r.grad_norm));
  add("lr", exact(r.lr));
  add("tokens", std::to_string(r.tokens));
  add("tokens_per_s", rounded(r.tokens_per_second(), 1));
  add("step_ms", rounded(1e3 * r.step_seconds, 3));
  add("mfu", r.mfu ? rounded(*r.mfu, 5) : "null");
  if (r.joules) add("joules", rounded(*r.joules, 1));
  const MemoryUse& m = r.memory;
  add("memory", tiers(m.device.bytes, m.host.bytes, m.nvme.bytes));
  std::string waits;
  for (const auto& [lane, ms] : r.waits_ms)
    waits += fmt::format("{}{}: {}", waits.empty() ? "" : ", ", json_string(lane), rounded(ms, 3));
  add("wait", "{" + waits + "}");
  if (!r.quantized.empty()) add("quantized", quantized(r.quantized));
  const bool finite = std::isfinite(r.loss) && std::isfinite(r.grad_norm) && std::isfinite(r.lr) &&
                      std::isfinite(r.valid_loss.value_or(0));
  if (!finite) add("nonfinite", "true");
  if (r.skipped) add("skipped", "true");
  if (!r.phase.empty()) add("phase", json_string(r.phase));
  add("tokens_seen", std::to_string(r.tokens_seen));
  add("steps_total", std::to_string(r.steps_total));
  add("flops", rounded(r.flops, 0));
  add("memory_peak", tiers(m.device.peak_bytes, m.host.peak_bytes, m.nvme.peak_bytes));
  return line + "}";
}

StepRecord parse_record(std::string_view line) {
  const json o = json::parse(line);
  StepRecord r;
  o.at("step").get_to(r.step);
  r.loss = number(o, "loss");
  if (o.contains("valid_loss")) r.valid_loss = number(o, "valid_loss");
  r.grad_norm = number(o, "grad_norm");
  r.lr = number(o, "lr");
  o.at("tokens").get_to(r.tokens);
  r.step_seconds = number(o, "step_ms") / 1e3;
  if (!o.at("mfu").is_null()) r.mfu = number(o, "mfu");
  if (o.contains("joules")) r.joules = number(o, "joules");
  for (const auto& [lane, ms] : o.at("wait").items())
    r.waits_ms[lane] = ms.is_null() ? std::numeric_limits<double>::quiet_NaN() : ms.get<double>();
  r.skipped = o.value("skipped", false);
  r.phase = o.value("phase", "");
  o.at("tokens_seen").get_to(r.tokens_seen);
  o.at("steps_total").get_to(r.steps_total);
  r.flops = number(o, "flops");
  auto tier = [&](const char* name) {
    return TierUse{o.at("memory").at(name).get<int64_t>(), o.at("memory_peak").at(name).get<int64_t>()};
  };
  r.memory = {tier("device"), tier("host"), tier("nvme")};
  return r;
}

MetricsLog::MetricsLog(FileSystem& files, const std::string& path)
    : file_(files, without_half_line(files, path), AppendFile::Open::extend) {}

void MetricsLog::write(const StepRecord& record) { file_.append(to_json(record) + "\n"); }

int64_t cut_back(FileSystem& files, const std::string& path, int64_t step) {
  if (!files.info(path)) return 0;
  const std::string text = read_file(files, path);
  std::string kept;
  int64_t removed = 0;
  for_each_line(path, text, [&](std::string_view line, const StepRecord& record) {
    if (record.step <= step)
      kept += line;
    else
      ++removed;
  });
  if (kept.size() != text.size()) replace_file(files, path, kept);
  return removed;
}

std::vector<StepRecord> read_metrics(FileSystem& files, const std::string& path) {
  std::vector<StepRecord> records;
  for_each_line(path, read_file(files, path),
                [&](std::string_view, StepRecord record) { records.push_back(std::move(record)); });
  return records;
}

}  // namespace strata
