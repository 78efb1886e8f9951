// SPDX-License-Identifier: Apache-2.0
// `strata bench adam`: the speed of every row of the optimizer table beside the fair yardstick of an update
// in place, which is incrementing an array in place, measured in the same rounds.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/base/worker_pool.h"

namespace strata {

struct AdamBenchOptions {
  int64_t parameters = int64_t{32} << 20;  // 50 bytes of memory each; far beyond any cache
  int rounds = 15;                         // each times the yardstick and all rows once; medians are reported
};

struct AdamBenchRow {
  std::string rule;                 // "adamw/split"
  std::string compute;              // dtype of the weight
  int64_t bytes_per_parameter = 0;  // moved by an update: gradient read, state read and written
  double ns_per_parameter = 0;
  double gb_per_s = 0;
  double of_increment = 0;  // gb_per_s over the increment's in the same round, median
};

struct AdamBench {
  int threads = 0;
  int64_t parameters = 0;
  double increment_gb_per_s = 0;  // 8 bytes per f32
  double foreign_cores = 0;       // negative: unknown
  std::vector<AdamBenchRow> rows;
};

// A row reaches this part of the increment's bandwidth on a quiet machine.
inline constexpr double kAdamTarget = 0.90;

AdamBench bench_adam(WorkerPool& pool, const AdamBenchOptions& options);

std::string to_text(const AdamBench& bench);  // a table and a verdict: met, missed or inconclusive
nlohmann::json to_json(const AdamBench& bench);

}  // namespace strata
