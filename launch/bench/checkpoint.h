// SPDX-License-Identifier: Apache-2.0
// `strata bench checkpoint`: saving and verified loading beside fio on the same disk in the same rounds, what
// an asynchronous save holds training up beside a plain copy of the bytes, and the planning of a large job.
// Sequential direct I/O of fio in blocks of 4 MiB, eight at a time, is what the disk can do.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/base/worker_pool.h"

namespace strata {

struct CheckpointBenchOptions {
  std::string folder = ".";  // on the disk to measure; a folder is made in it and removed
  int64_t bytes = int64_t{2} << 30;
  int rounds = 3;  // each writes, saves, reads and loads once; medians are reported
};

struct CheckpointBench {
  std::string file_system;
  int64_t bytes = 0;
  int threads = 0, rounds = 0;
  bool fio = false;                                      // else there is nothing to compare with
  double fio_write_gb_per_s = 0, fio_read_gb_per_s = 0;  // writing a new file, as a save does
  double fio_rewrite_gb_per_s = 0;                       // over a file that is there
  double save_gb_per_s = 0, load_gb_per_s = 0;
  double save_of_fio = 0, load_of_fio = 0;                          // medians of the rounds' ratios
  double stall_ms = 0, copy_ms = 0, of_copy = 0;                    // one thread copies, pages touched before
  double copy_gb_per_s = 0, crc_gb_per_s = 0, digest_gb_per_s = 0;  // of one core
  uint64_t stage_check = 0;                                         // so that nothing of it is left out
  double plan_s = 0;                                                // of kPlanTensors on kPlanRanks
  double foreign_cores = 0;                                         // negative: unknown
};

inline constexpr int kPlanTensors = 100'000, kPlanRanks = 1024;
inline constexpr double kSaveTarget = 0.90, kLoadTarget = 0.85, kStallTarget = 1.15, kPlanTarget = 5;

CheckpointBench bench_checkpoint(WorkerPool& pool, const CheckpointBenchOptions& options);

std::string to_text(const CheckpointBench& bench);  // a table and verdicts
nlohmann::json to_json(const CheckpointBench& bench);

}  // namespace strata
