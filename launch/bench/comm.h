// SPDX-License-Identifier: Apache-2.0
// `strata bench comm`: every collective over a range of sizes, beside every rank copying as many bytes in
// memory as it receives, measured in the same rounds. Over the ranks that mpirun started, or else over
// threads.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/dist/communicator.h"

namespace strata {

struct CommBenchOptions {
  int ranks = 0;               // threads; 0: one per core. Of no effect under mpirun.
  int64_t smallest = 4 << 10;  // bytes of a rank's whole buffer, four times more from row to row
  int64_t largest = 64 << 20;
  int rounds = 5;  // each runs the copy and the operation; medians are reported
};

struct CommBenchRow {
  CollectiveKind kind = CollectiveKind::all_gather;
  int64_t bytes = 0;     // of the whole buffer
  int64_t received = 0;  // by a rank
  double time_us = 0;    // of one operation
  double gb_per_s = 0;   // received by a rank
  double copy_gb_per_s = 0;
  double of_copy = 0;  // median of the rounds' ratios
};

struct CommBench {
  std::string transport;  // "threads" or "MPI"
  int ranks = 0;
  double foreign_cores = 0;  // negative: unknown, as with processes
  std::vector<CommBenchRow> rows;
};

// Over threads of this process.
CommBench bench_comm(const CommBenchOptions& options);
// As one rank of `world`: all ranks call it. The figures are rank 0's, the others' are empty.
CommBench bench_comm(World& world, const CommBenchOptions& options);

std::string to_text(const CommBench& bench);
nlohmann::json to_json(const CommBench& bench);

}  // namespace strata
