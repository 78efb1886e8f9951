// SPDX-License-Identifier: Apache-2.0
// The figures of `strata bench gemm` as a table and as JSON.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "launch/bench/foreign_load.h"
#include "launch/bench/gemm.h"

namespace strata {

std::string to_text(const GemmBench& bench) {
  std::string text = fmt::format("matrix products, {}, {} threads, GFLOP/s", bench.isa, bench.threads);
  text += bench.peer.empty() ? "; no peer library\n" : fmt::format("; peer: {}\n", bench.peer);
  text += fmt::format("{:<6}{:<8}{:<17}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n", "type", "layer", "product",
                      "tokens", "ours", "peak", "of peak", "target", "peer", "of peer");
  int missed = 0;
  for (const GemmBenchRow& row : bench.rows) {
    const double target = gemm_target(row.product);
    missed += row.of_peak < target;
    text += fmt::format("{:<6}{:<8}{:<17}{:>7}{:>9.1f}{:>9.1f}{:>9.2f}{:>9.2f}", name(row.dtype), row.shape,
                        name(row.product), row.tokens, row.gflops, row.peak_gflops, row.of_peak, target);
    text += row.peer_gflops > 0 ? fmt::format("{:>9.1f}{:>9.2f}\n", row.peer_gflops, row.of_peer)
                                : fmt::format("{:>9}{:>9}\n", "-", "-");
  }
  if (const std::string noise = inconclusive(bench.foreign_cores); !noise.empty())
    text += noise;
  else if (missed > 0)
    text += fmt::format("targets missed by {} of {} products\n", missed, bench.rows.size());
  else
    text += "targets met\n";
  return text;
}

nlohmann::json to_json(const GemmBench& bench) {
  nlohmann::json json = {{"bench", "gemm"},
                         {"isa", bench.isa},
                         {"peer", bench.peer},
                         {"threads", bench.threads},
                         {"foreign_cores", bench.foreign_cores},
                         {"rows", nlohmann::json::array()}};
  for (const GemmBenchRow& row : bench.rows) {
    json["rows"].push_back({{"shape", row.shape},
                            {"product", name(row.product)},
                            {"dtype", name(row.dtype)},
                            {"tokens", row.tokens},
                            {"gflops", row.gflops},
                            {"peak_gflops", row.peak_gflops},
                            {"of_peak", row.of_peak},
                            {"target_of_peak", gemm_target(row.product)}});
    if (row.peer_gflops > 0) {
      json["rows"].back()["peer_gflops"] = row.peer_gflops;
      json["rows"].back()["of_peer"] = row.of_peer;
    }
  }
  return json;
}

}  // namespace strata
