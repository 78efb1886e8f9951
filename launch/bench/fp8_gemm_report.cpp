// SPDX-License-Identifier: Apache-2.0
// The figures of `strata bench gemm --fp8` as a table and as JSON.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "launch/bench/foreign_load.h"
#include "launch/bench/fp8_gemm.h"

namespace strata {

std::string to_text(const Fp8GemmBench& bench) {
  std::string text =
      fmt::format("products on 8-bit codes beside bf16, {}, {} threads, GFLOP/s\n", bench.isa, bench.threads);
  text += fmt::format("{:<16}{:<8}{:<17}{:>7}{:>9}{:>9}{:>9}{:>9}{:>12}{:>9}\n", "recipe", "layer", "product",
                      "tokens", "bf16", "codes", "of bf16", "target", "quantizing", "of bf16");
  int missed = 0, pays = 0;
  for (const Fp8GemmRow& row : bench.rows) {
    missed += row.codes_of_bf16 < kFp8GemmTarget;
    pays += row.with_quantizing_of_bf16 > 1;
    text += fmt::format("{:<16}{:<8}{:<17}{:>7}{:>9.1f}{:>9.1f}{:>9.2f}{:>9.2f}{:>12.1f}{:>9.2f}\n",
                        row.recipe, row.shape.name, name(row.product), row.tokens, row.bf16_gflops,
                        row.codes_gflops, row.codes_of_bf16, kFp8GemmTarget, row.with_quantizing_gflops,
                        row.with_quantizing_of_bf16);
  }
  text += fmt::format("with quantizing, faster than bf16: {} of {} products\n", pays, bench.rows.size());
  if (const std::string noise = inconclusive(bench.foreign_cores); !noise.empty())
    text += noise;
  else if (missed > 0)
    text += fmt::format("targets missed by {} of {} products\n", missed, bench.rows.size());
  else
    text += "targets met\n";
  return text;
}

nlohmann::json to_json(const Fp8GemmBench& bench) {
  nlohmann::json json = {{"bench", "gemm --fp8"},
                         {"isa", bench.isa},
                         {"threads", bench.threads},
                         {"foreign_cores", bench.foreign_cores},
                         {"rows", nlohmann::json::array()}};
  for (const Fp8GemmRow& row : bench.rows)
    json["rows"].push_back({{"recipe", row.recipe},
                            {"shape", row.shape.name},
                            {"out", row.shape.out},
                            {"in", row.shape.in},
                            {"product", name(row.product)},
                            {"tokens", row.tokens},
                            {"bf16_gflops", row.bf16_gflops},
                            {"codes_gflops", row.codes_gflops},
                            {"codes_of_bf16", row.codes_of_bf16},
                            {"target_of_bf16", kFp8GemmTarget},
                            {"with_quantizing_gflops", row.with_quantizing_gflops},
                            {"with_quantizing_of_bf16", row.with_quantizing_of_bf16}});
  return json;
}

}  // namespace strata
