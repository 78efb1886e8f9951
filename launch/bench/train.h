// SPDX-License-Identifier: Apache-2.0
// Whole training steps of known models on any device: tokens per second, share of the peak, memory, energy.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "launch/train/run_device.h"

namespace strata {

struct TrainBenchOptions {
  std::string model = "qwen2.5-0.5b";  // one of train_bench_models()
  int64_t rows = 8;                    // sequences of a micro-batch
  int64_t seq_len = 1024;
  int micro_batches = 4;
  DType compute = DType::bf16;
  std::string state = "split";
  bool recompute = false;
  int warmup = 2;
  int steps = 5;  // the median is reported
};

struct TrainBench {
  TrainBenchOptions options;
  std::string device;
  int64_t parameters = 0;
  double step_ms = 0, best_ms = 0;
  double tokens_per_s = 0;
  double peak_flops = 0;  // of the device, per second
  double mfu = 0;
  double loss = 0;  // of the last step
  int64_t planned_bytes = 0;
  int64_t held_bytes = 0;  // on a GPU, at most
  std::optional<double> joules_per_token;
};

// Shapes by their public configurations.
std::vector<std::string> train_bench_models();

// Throws Error(usage) for a model that is not among them, Error(memory) when it does not fit.
TrainBench bench_train(RunDevice& device, const TrainBenchOptions& options);

std::string to_text(const TrainBench& bench);
nlohmann::json to_json(const TrainBench& bench);

}  // namespace strata
