// SPDX-License-Identifier: Apache-2.0
// `strata bench gemm --fp8`: the products of linear layers on codes beside those in bf16, per recipe, without
// and with the quantizing that a step does for them. Where the last ratio is above 1, the recipe pays on this
// machine.
#pragma once

#include "launch/bench/gemm.h"
#include "launch/config/config.h"

namespace strata {

struct Fp8GemmOptions {
  std::vector<GemmShape> shapes = gpt2_gemm_shapes();
  std::vector<int64_t> tokens = {256, 1024};
  std::vector<std::string> recipes = {"tensor-current", "row", "block"};
  int rounds = 5;  // each runs all variants once; medians are reported
};

// The linear layers of a configuration's model as a rank holds them, its recipe and its number of tokens:
// what precision.follow asks for.
Fp8GemmOptions fp8_gemm_options(const Config& config);

// Of bf16's speed, with weights kept as panels and operands that are codes already.
inline constexpr double kFp8GemmTarget = 0.90;

struct Fp8GemmRow {
  GemmShape shape;
  std::string recipe;
  GemmProduct product = GemmProduct::forward;
  int64_t tokens = 0;
  double bf16_gflops = 0, codes_gflops = 0, with_quantizing_gflops = 0;
  double codes_of_bf16 = 0, with_quantizing_of_bf16 = 0;  // medians of the rounds' ratios
};

struct Fp8GemmBench {
  std::string isa;
  int threads = 0;
  double foreign_cores = 0;  // negative: unknown
  std::vector<Fp8GemmRow> rows;
};

// Quantized within the time: x for the forward product, dy for the data gradient, columns of both for the
// weight gradient (a step reads each of them once for rows and columns). Weights are quantized and packed
// beforehand, as once in an optimizer step.
Fp8GemmBench bench_fp8_gemm(WorkerPool& pool, const Fp8GemmOptions& options);

std::string to_text(const Fp8GemmBench& bench);
nlohmann::json to_json(const Fp8GemmBench& bench);

}  // namespace strata
