// SPDX-License-Identifier: Apache-2.0
#include "launch/bench/matmul_peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "core/ops/cpu/matmul.h"

namespace strata {

double probe_matmul_flops_per_s(WorkerPool& pool, DType dtype, double milliseconds) {
  const cpu::MatmulTypes& types = cpu::matmul_types(active_isa());
  const auto probe = dtype == DType::bf16 ? types.bf16.probe : types.f32.probe;
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double, std::milli>(milliseconds);
  std::atomic<int64_t> flops{0};
  pool.for_each(pool.threads(), [&](int64_t, int) {
    int64_t done = 0;
    do done += probe(1000);  // some ten microseconds
    while (Clock::now() < end);
    flops += done;
  });
  return static_cast<double>(flops) / std::chrono::duration<double>(Clock::now() - start).count();
}

MatmulPeak measure_matmul_peak(WorkerPool& pool, DType dtype) {
  MatmulPeak peak{.flops_per_s = 0, .threads = pool.threads()};
  for (int slice = 0; slice < 10; ++slice)
    peak.flops_per_s = std::max(peak.flops_per_s, probe_matmul_flops_per_s(pool, dtype, 5));
  return peak;
}

}  // namespace strata
