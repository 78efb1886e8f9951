// SPDX-License-Identifier: Apache-2.0
// Marks a scalar formula that CPU and GPU share, so that both give the same bits. Used by functions small enough
// to live in a header; everything else is a separate file per device.
#pragma once

#ifdef __CUDACC__
#define STRATA_HD __host__ __device__
#else
#define STRATA_HD
#endif

// The same for formulas that CPU kernels use, too: they call nothing that is not inlined (core/ops/cpu/kernels).
#define STRATA_HD_INLINE STRATA_HD __attribute__((always_inline)) inline
