// SPDX-License-Identifier: Apache-2.0
// `strata bench gemm`: the three matrix products of each linear layer of a model, beside the instruction peak
// and another library (where one is found), all measured in the same rounds.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/base/worker_pool.h"
#include "core/tensor/dtype.h"

namespace strata {

// A linear layer of in -> out features.
struct GemmShape {
  std::string name;
  int64_t in = 0, out = 0;
};

// The linear layers of GPT-2 with 124 million parameters, its vocabulary padded to a multiple of 128.
std::vector<GemmShape> gpt2_gemm_shapes();

struct GemmBenchOptions {
  std::vector<GemmShape> shapes = gpt2_gemm_shapes();
  std::vector<int64_t> tokens = {256, 1024};
  std::vector<DType> dtypes = {DType::bf16, DType::f32};
  int rounds = 5;  // each runs peak, ours and peer once; medians are reported
  bool peer = true;
};

enum class GemmProduct { forward, data_gradient, weight_gradient };
std::string_view name(GemmProduct product);

// The part of the instruction peak that a product reaches on a quiet machine.
constexpr double gemm_target(GemmProduct product) {
  return product == GemmProduct::weight_gradient ? 0.75 : 0.85;
}

struct GemmBenchRow {
  std::string shape;
  GemmProduct product = GemmProduct::forward;
  DType dtype = DType::bf16;
  int64_t tokens = 0;
  double gflops = 0;       // GFLOP/s of ours, median of the rounds
  double peak_gflops = 0;  // of the instruction
  double peer_gflops = 0;  // of the other library; 0: none
  double of_peak = 0;      // median of the rounds' ratios
  double of_peer = 0;
};

struct GemmBench {
  std::string isa;
  std::string peer;  // empty: none
  int threads = 0;
  double foreign_cores = 0;  // negative: unknown
  std::vector<GemmBenchRow> rows;
};

// Weights of forward and data gradient are packed beforehand, as in a training step; the weight gradient is
// accumulated into f32 and packs both of its operands within the time. Activations have the type of the
// weights.
GemmBench bench_gemm(WorkerPool& pool, const GemmBenchOptions& options);

std::string to_text(const GemmBench& bench);  // a table and a verdict: met, missed or inconclusive
nlohmann::json to_json(const GemmBench& bench);

}  // namespace strata
