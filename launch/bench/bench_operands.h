// SPDX-License-Identifier: Apache-2.0
// What benches of matrix products share: operands and how a product is timed.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "core/base/hash.h"
#include "core/base/worker_pool.h"
#include "core/tensor/bf16.h"
#include "core/tensor/tensor.h"

namespace strata {

// GFLOP/s of a product of `flops` operations, repeated for some 10 ms.
inline double gflops_of(double flops, const std::function<void()>& product) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  double elapsed = 0;
  int runs = 0;
  do {
    product();
    ++runs;
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  } while (elapsed < 10e-3);
  return 1e-9 * flops * runs / elapsed;
}

// Threads of the variant before go to sleep: two pools that spin would take each other's cores.
inline void let_threads_sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(3)); }

// Ordinary numbers between -1 and 1: denormals, zeros or NaN would time something else. Pages are touched
// first by the pool's threads.
inline Tensor bench_matrix(WorkerPool& pool, Allocator& allocator, DType dtype, int64_t rows,
                           int64_t columns) {
  const Tensor x = make_tensor(allocator, dtype, {rows, columns}, "bench");
  const auto value = [&](int64_t i) {
    return static_cast<float>(mix64(static_cast<uint64_t>(i)) >> 44) * 0x1p-19f - 1;
  };
  pool.for_each(rows, [&](int64_t row, int) {
    for (int64_t i = row * columns; i < (row + 1) * columns; ++i)
      if (dtype == DType::bf16)
        x.data<bf16>()[i] = to_bf16(value(i));
      else
        x.data<float>()[i] = value(i);
  });
  return x;
}

}  // namespace strata
