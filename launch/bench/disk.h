// SPDX-License-Identifier: Apache-2.0
// `strata bench disk`: the I/O engines and the tile store beside fio: the same file, block, depth and page
// size, in the same rounds; and the CPU time each byte costs.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/io/file_system.h"
#include "launch/bench/fio.h"

namespace strata {

struct DiskBenchOptions {
  std::string folder = ".";
  int64_t bytes = int64_t{1} << 30;  // moved by every measurement; the file has twice as many
  int64_t block = int64_t{1} << 20;
  int depth = 16;
  int rounds = 5;  // each measures all once; medians are reported
};

struct DiskBenchRow {
  DiskMode mode = DiskMode::read;
  std::string subject;  // "io_uring", "threads", "tile store", "fio"
  DiskFlow flow;
  double of_fio = 0;  // speed over fio's in the same round, median; 0 without fio
};

struct DiskBench {
  DiskBenchOptions options;
  std::string volume, fio;  // type of file system; "fio-3.33", empty: not there
  bool direct = false;
  std::string engine_note;   // why there is no io_uring
  double foreign_cores = 0;  // negative: unknown
  std::vector<DiskBenchRow> rows;
};

inline constexpr double kDiskTarget = 0.95,
                        kDiskThreadsTarget = 0.90;  // of fio: io_uring and tile store; threads
inline constexpr double kDiskCpuTarget = 0.5 / 25;  // CPU seconds a GB, of io_uring

// Makes its file in the folder and removes it. Throws what TileStore::open throws.
DiskBench bench_disk(FileSystem& files, const DiskBenchOptions& options);

std::string to_text(const DiskBench& bench);  // a table and a verdict
nlohmann::json to_json(const DiskBench& bench);

}  // namespace strata
