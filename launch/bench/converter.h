// SPDX-License-Identifier: Apache-2.0
// `strata bench converter`: the most memory that `strata convert` takes, as processes of their own: a model
// of random weights written in full and converted, and the plan of one of 671e9 parameters, whose files are
// holes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/base/worker_pool.h"

namespace strata {

struct ConverterBenchOptions {
  std::string folder = ".";                // a folder is made in it and removed
  int64_t bytes = int64_t{5'000'000'000};  // of the model that is written; twice as much is needed
};

struct ConverterBenchRow {
  std::string what;
  int64_t parameters = 0, tensors = 0, bytes = 0;  // of the model
  int64_t peak_bytes = 0;
  double seconds = 0;
};

struct ConverterBench {
  std::vector<ConverterBenchRow> rows;
};

inline constexpr int64_t kConverterTarget = int64_t{2} << 30;  // of peak_bytes

ConverterBench bench_converter(WorkerPool& pool, const ConverterBenchOptions& options);

std::string to_text(const ConverterBench& bench);
nlohmann::json to_json(const ConverterBench& bench);

}  // namespace strata
