// SPDX-License-Identifier: Apache-2.0
// What `strata bench disk` prints.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "launch/bench/disk.h"
#include "launch/bench/foreign_load.h"

namespace strata {
namespace {

const char* name(DiskMode mode) {
  static constexpr const char* kNames[] = {"read", "write", "half"};
  return kNames[static_cast<int>(mode)];
}

double target(const DiskBenchRow& row) { return row.subject == "threads" ? kDiskThreadsTarget : kDiskTarget; }

}  // namespace

std::string to_text(const DiskBench& bench) {
  std::string text = fmt::format(
      "{} ({}{}), {} MiB in blocks of {} KiB, depth {}, pages of 4 KiB, medians of {} rounds\n"
      "{:<8}{:<14}{:>8}{:>10}{:>13}\n",
      bench.options.folder, bench.volume, bench.direct ? "" : ", through the page cache",
      bench.options.bytes >> 20, bench.options.block >> 10, bench.options.depth, bench.options.rounds, "mode",
      "by", "GB/s", "of fio", "CPU s / GB");
  for (const DiskBenchRow& row : bench.rows)
    text +=
        fmt::format("{:<8}{:<14}{:>8.2f}{:>10}{:>13.4f}\n", name(row.mode), row.subject, row.flow.gb_per_s,
                    row.of_fio > 0 ? fmt::format("{:.2f}", row.of_fio) : "-", row.flow.cpu_s_per_gb);
  if (!bench.engine_note.empty()) text += "no io_uring: " + bench.engine_note + "\n";
  if (bench.fio.empty()) return text + "no yardstick: fio is not there (apt-get install fio)\n";
  const bool met = std::ranges::all_of(
      bench.rows, [](const DiskBenchRow& row) { return row.subject == "fio" || row.of_fio >= target(row); });
  text += fmt::format("targets {:.2f} of {} (threads {:.2f}): {}\n", kDiskTarget, bench.fio,
                      kDiskThreadsTarget, met ? "met" : "missed");
  const bool cheap = std::ranges::all_of(bench.rows, [](const DiskBenchRow& row) {
    return row.subject != "io_uring" || row.flow.cpu_s_per_gb <= kDiskCpuTarget;
  });
  text += fmt::format("target {:.3f} CPU s / GB of io_uring: {}\n", kDiskCpuTarget, cheap ? "met" : "missed");
  return text + fmt::format("others used {} cores meanwhile (fio's own time taken off)\n",
                            bench.foreign_cores < 0 ? "an unknown number of"
                                                    : fmt::format("{:.2f}", bench.foreign_cores));
}

nlohmann::json to_json(const DiskBench& bench) {
  nlohmann::json json = {{"bench", "disk"},
                         {"folder", bench.options.folder},
                         {"volume", bench.volume},
                         {"direct", bench.direct},
                         {"bytes", bench.options.bytes},
                         {"block", bench.options.block},
                         {"depth", bench.options.depth},
                         {"rounds", bench.options.rounds},
                         {"fio", bench.fio},
                         {"engine_note", bench.engine_note},
                         {"foreign_cores", bench.foreign_cores},
                         {"target_of_fio", kDiskTarget},
                         {"target_of_fio_threads", kDiskThreadsTarget},
                         {"target_cpu_s_per_gb", kDiskCpuTarget},
                         {"rows", nlohmann::json::array()}};
  for (const DiskBenchRow& row : bench.rows)
    json["rows"].push_back({{"mode", name(row.mode)},
                            {"by", row.subject},
                            {"gb_per_s", row.flow.gb_per_s},
                            {"cpu_s_per_gb", row.flow.cpu_s_per_gb},
                            {"of_fio", row.of_fio}});
  return json;
}

}  // namespace strata
