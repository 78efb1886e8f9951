// SPDX-License-Identifier: Apache-2.0
// The speed no matrix product can exceed: multiply-adds of the product's own instruction on registers alone.
#pragma once

#include "core/base/worker_pool.h"
#include "core/tensor/dtype.h"

namespace strata {

struct MatmulPeak {
  double flops_per_s = 0;  // a multiply-add counts as two; of all threads together
  int threads = 0;
};

// Runs the multiply-adds of the active instruction set for `dtype` (f32 or bf16) on all threads of the pool,
// in ten short slices, and takes the fastest: about 50 ms. Used as the denominator of a run's MFU.
MatmulPeak measure_matmul_peak(WorkerPool& pool, DType dtype);

// One slice of about `milliseconds`: what the machine gives right now.
double probe_matmul_flops_per_s(WorkerPool& pool, DType dtype, double milliseconds);

}  // namespace strata
