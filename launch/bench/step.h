// SPDX-License-Identifier: Apache-2.0
// `strata bench step`: whole training steps of a GPT-2 with 124 million parameters on random tokens, and
// where their time goes. The yardstick is the time of the step's own matrix products, taken inside the same
// steps.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/base/worker_pool.h"
#include "core/tensor/dtype.h"

namespace strata {

struct StepBenchOptions {
  int64_t rows = 4;
  int64_t seq_len = 64;
  DType compute = DType::bf16;
  std::string state = "split";
  int warmup = 2;
  int steps = 7;           // medians are reported
  bool neighbour = false;  // after every step another one beside a busy thread
};

struct StepBench {
  StepBenchOptions options;
  std::string isa;
  int threads = 0;
  int64_t parameters = 0;
  double step_ms = 0, best_ms = 0;
  double tokens_per_s = 0;
  double matmul_ms = 0;      // of the step's linear layers
  double over_matmul = 0;    // step_ms / matmul_ms, median of the steps' ratios
  double matmul_gflops = 0;  // reached inside the step
  double peak_gflops = 0;    // of the instruction
  double mfu = 0;
  std::map<std::string, double> kind_ms;  // by kind of action
  double arena_mib = 0;
  double foreign_cores = 0;  // negative: unknown
  double neighbour_ms = 0,
         over_quiet = 0;  // steps beside a busy thread; median of their ratios to the step before
};

// Step over matrix products on a quiet machine: at most this.
constexpr double step_target(int64_t tokens) { return tokens >= 1024 ? 1.15 : 1.25; }
// A step beside one busy neighbour over a step without, where there is no core to spare: at most this.
inline constexpr double kNeighbourTarget = 2;

StepBench bench_step(WorkerPool& pool, const StepBenchOptions& options);

std::string to_text(const StepBench& bench);  // a table and a verdict: met, missed or inconclusive
nlohmann::json to_json(const StepBench& bench);

}  // namespace strata
