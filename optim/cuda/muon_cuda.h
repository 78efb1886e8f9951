// SPDX-License-Identifier: Apache-2.0
// The CUDA device's loops of Muon; the twins of cpu/muon_cpu.h. All arrays lie on the device and stay
// untouched by others until an event recorded after the call is done. In a build without CUDA each is a
// ContractError.
#pragma once

#include "core/device/stream.h"
#include "optim/muon_matrix.h"

namespace strata::cuda {

// Momentum, and x = the direction before it is made orthogonal, of Frobenius norm 1. squares f64 [rows + 1]
// is working memory.
template <typename State>
void muon_direction(Stream& stream, const MuonMatrix<State>& matrix, const MuonMomentum& momentum, float* x,
                    double* squares);

// w <- keep w - step x, x the orthogonal matrix as muon_direction laid it out.
template <typename State>
void muon_step(Stream& stream, const MuonMatrix<State>& matrix, const float* x, float keep, float step);

// out = left out + right in, [n]
void muon_blend(Stream& stream, float left, float* out, float right, const float* in, int64_t n);

}  // namespace strata::cuda
