// SPDX-License-Identifier: Apache-2.0
#include "launch/finetune/ways.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "launch/commands/plan_figures.h"
#include "launch/config/key_table.h"
#include "launch/metrics/humanize.h"
#include "launch/metrics/text_table.h"

namespace strata {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kProgram = 300 * kMiB;      // code, tokenizer, buffers of files
constexpr int64_t kSavePool = 2048 * kMiB;    // of the trainer: what a save holds while training goes on
constexpr int64_t kGpuReserve = 1024 * kMiB;  // the driver's and the libraries' own

struct WayKind {
  Method method;
  const char* name;
  bool gpu_only = false, drives = false;
  const char* base_weights = "";
  std::vector<std::pair<std::string, std::string>> offload = {};
};

// In the order of choice (kChoiceRule).
std::vector<WayKind> kinds() {
  return {{Method::full, "full"},
          {.method = Method::full,
           .name = "full, state in host memory",
           .gpu_only = true,
           .offload = {{"master", "\"host\""}, {"moments", "\"host\""}}},
          {Method::lora, "lora"},
          {.method = Method::qlora, .name = "qlora", .base_weights = "nf4"},
          {.method = Method::full,
           .name = "full, state on drives",
           .drives = true,
           .offload = {{"weights", "\"nvme\""},
                       {"master", "\"nvme\""},
                       {"moments", "\"nvme\""},
                       {"group", "0                 # all micro-batches pass a layer before the next"}}}};
}

// Values that the command line gives, in the text: it alone starts the same run. What is for adapters is for
// the ways that have some.
std::string with_overrides(std::string toml, const FinetuneQuestion& question, Method method) {
  std::vector<std::string> overrides;
  for (const std::string& word : question.overrides)
    if (method != Method::full || !word.starts_with("adapter.")) overrides.push_back(word);
  const LoadedConfig loaded = parse_config(toml, question.file, overrides);
  for (const Key& key : key_table().keys())
    if (loaded.origin(key.path).starts_with("command line"))
      toml = with_key(std::move(toml), std::string(key.section), std::string(key.name),
                      to_toml(key.get(loaded.given)));
  return toml;
}

std::string bound_by(const PlanFigures& figures, DeviceKind device) {
  const auto most = std::max_element(figures.busy.begin(), figures.busy.end()) - figures.busy.begin();
  switch (static_cast<Lane>(most)) {
    case Lane::disk_read:
    case Lane::disk_write:
      return "the drive";
    case Lane::h2d:
    case Lane::d2h:
      return "the link to host memory";
    default:
      return device == DeviceKind::cuda ? "the GPU" : "the cores";
  }
}

// What a save takes of the host's memory beside the run: values that do not lie there as they are saved, and
// what waits to be written.
int64_t saving_bytes(const PlanFigures& figures, bool away, int64_t saved) {
  const bool copied_whole = away || figures.device == DeviceKind::cuda;
  return (copied_whole ? saved : 4 * figures.trained) + std::min(saved, kSavePool);
}

std::string more(int64_t bytes, const char* of) {
  return fmt::format("{} more {} needed", human_bytes(bytes), of);
}

Way plan_way(const FinetuneQuestion& question, const WayKind& kind, bool recompute) {
  const FinetuneMachine& machine = question.machine;
  FinetuneStart start = question.start;
  start.lora = kind.method != Method::full;
  start.base_weights = kind.base_weights;
  start.offload = kind.offload;
  start.recompute = recompute;
  Way way{.method = kind.method, .name = kind.name};
  way.toml = with_overrides(finetune_toml(question.spec, start), question, kind.method);
  const LoadedConfig loaded = parse_config(way.toml, question.file);
  const PlanFigures figures = plan_figures(loaded.config, 1, machine.rates);
  const PipelineRankFigures& rank = figures.pipeline[0];
  const int64_t device = rank.memory[Tier::device].arena, host = rank.memory[Tier::host].arena;
  const int64_t saved = 12 * figures.trained;  // values and two moments, f32
  const bool gpu = figures.device == DeviceKind::cuda;
  way.trained = figures.trained;
  way.device_bytes = gpu ? device : 0;
  way.host_bytes = kProgram + host + (gpu ? 0 : device) + saving_bytes(figures, !kind.offload.empty(), saved);
  way.disk_bytes = (loaded.config.checkpoint.keep + 1) * saved + rank.stored;
  way.step_seconds = figures.step_seconds;
  way.run_seconds = figures.step_seconds * static_cast<double>(loaded.config.run.steps);
  way.binds = bound_by(figures, figures.device);
  if (kind.drives && !machine.no_state.empty())
    way.obstacle = machine.no_state;
  else if (gpu && device > machine.device_bytes - kGpuReserve)
    way.obstacle = more(device - machine.device_bytes + kGpuReserve, "on the GPU");
  else if (way.host_bytes > machine.host_bytes)
    way.obstacle = more(way.host_bytes - machine.host_bytes, "of host memory");
  else if (way.disk_bytes > machine.drive_bytes)
    way.obstacle = more(way.disk_bytes - machine.drive_bytes, "on the drive");
  return way;
}

int64_t power_of_two_up_to(int64_t n) {
  int64_t power = 1;
  while (2 * power <= n) power *= 2;
  return power;
}

}  // namespace

FinetuneStart fitted_to_data(FinetuneStart start, const ModelSpec& spec, const DataEstimate& data,
                             double epochs) {
  const int64_t most = std::min<int64_t>(data.records ? 2048 : 1024, spec.max_positions);
  const bool given = start.seq_len > 0;
  if (!given)
    start.seq_len = data.records ? std::clamp<int64_t>(div_up(data.long_document, 64) * 64,
                                                       std::min<int64_t>(64, most), most)
                                 : most;
  while (!given && !data.records && start.seq_len > 32 && data.tokens < 20 * start.seq_len)
    start.seq_len /= 2;
  // Enough is held back for one row at least; of few documents nothing.
  const double one = data.records ? 2.0 / static_cast<double>(std::max<int64_t>(1, data.documents))
                                  : 1.1 * static_cast<double>(start.seq_len + 1) /
                                        static_cast<double>(std::max<int64_t>(1, data.tokens));
  start.valid_fraction = one > 0.2 ? 0 : std::max(0.02, std::ceil(one * 1000) / 1000);
  const double fill = data.records ? 0.9 : 1.0;
  const double rows = (1 - start.valid_fraction) * static_cast<double>(data.tokens) /
                      (fill * static_cast<double>(start.seq_len));
  start.rows = std::min<int64_t>(8, power_of_two_up_to(std::max<int64_t>(1, static_cast<int64_t>(rows))));
  if (start.steps == 0)
    start.steps = std::max<int64_t>(1, std::llround(epochs * rows / static_cast<double>(start.rows)));
  start.warmup = std::min<int64_t>(start.steps / 10, 100);
  start.every = std::clamp<int64_t>(start.steps / 10, 1, 200);
  start.records = data.records;
  start.chat_template = data.chat_template;
  return start;
}

std::vector<Way> plan_ways(const FinetuneQuestion& question) {
  std::vector<Way> ways;
  std::exception_ptr refused;
  for (const WayKind& kind : kinds()) {
    if (kind.gpu_only && question.machine.device != DeviceKind::cuda) continue;
    try {
      Way way = plan_way(question, kind, false);
      // Memory of layers is what a second forward pass saves.
      if (!way.obstacle.empty() && !kind.drives)
        if (Way again = plan_way(question, kind, true); again.obstacle.empty()) way = std::move(again);
      ways.push_back(std::move(way));
    } catch (const Error& error) {  // this model cannot be trained so, whatever the machine
      refused = std::current_exception();
      const Report& report = error.report();
      ways.push_back({.method = kind.method,
                      .name = kind.name,
                      .obstacle = report.what + (report.found.empty() ? "" : ": " + report.found)});
    }
  }
  if (refused && std::all_of(ways.begin(), ways.end(), [](const Way& way) { return way.toml.empty(); }))
    std::rethrow_exception(refused);
  return ways;
}

const Way* choose_way(const std::vector<Way>& ways, Method method) {
  for (const Way& way : ways)
    if (way.obstacle.empty() && (method == Method::automatic || way.method == method)) return &way;
  return nullptr;
}

std::string to_string(const std::vector<Way>& ways, const Way* chosen) {
  TextTable table({"   way", "trained", "device", "host", "disk", "step", "run", "bound by", "fits"});
  for (const Way& way : ways) {
    if (way.toml.empty()) {
      table.add({"   " + way.name, "", "", "", "", "", "", "", "no"});
      continue;
    }
    table.add({fmt::format("{} {}", &way == chosen ? "->" : "  ", way.name),
               human_count(static_cast<double>(way.trained)),
               way.device_bytes > 0 ? human_bytes(way.device_bytes) : "", human_bytes(way.host_bytes),
               human_bytes(way.disk_bytes), human_duration(way.step_seconds), human_duration(way.run_seconds),
               way.binds, way.obstacle.empty() ? "yes" : "no"});
  }
  std::string text = table.text();
  for (const Way& way : ways)
    if (!way.obstacle.empty()) text += fmt::format("   {}: {}\n", way.name, way.obstacle);
  return text;
}

}  // namespace strata
