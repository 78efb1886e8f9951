// SPDX-License-Identifier: Apache-2.0
#include "optim/cpu/muon_cpu.h"

#include <cmath>

#include "core/device/cpu/cpu_stream.h"
#include "optim/muon_math.h"
#include "optim/state_fp32.h"
#include "optim/state_master.h"

namespace strata::cpu {
namespace {

// Rows that one worker takes at a time: sums over rows do not depend on it.
template <typename Body>
void for_matrix_rows(CpuStream& stream, int64_t rows, Body body) {
  stream.pool().for_each(rows, [&](int64_t row, int) { body(row); });
}

constexpr int64_t kBlended = 1 << 15;  // elements that one worker takes at a time

}  // namespace

template <typename State>
void muon_direction(Stream& stream, const MuonMatrix<State>& m, const MuonMomentum& momentum, float* x,
                    double* squares) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([=, &cpu] {
    for_matrix_rows(cpu, m.rows, [&](int64_t row) {
      double sum = 0;
      for (int64_t column = 0; column < m.columns; ++column) {
        const float direction = m.direct(row * m.columns + column, momentum);
        x[m.place(row, column)] = direction;
        sum += static_cast<double>(direction) * static_cast<double>(direction);
      }
      squares[row] = sum;
    });
    double sum = 0;
    for (int64_t row = 0; row < m.rows; ++row) sum += squares[row];
    const auto inverse = static_cast<float>(1 / (std::sqrt(sum) + muon::kEps));
    for_matrix_rows(cpu, m.rows, [&](int64_t row) {
      for (int64_t i = row * m.columns; i < (row + 1) * m.columns; ++i) x[i] *= inverse;
    });
  });
}

template <typename State>
void muon_step(Stream& stream, const MuonMatrix<State>& m, const float* x, float keep, float step) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([=, &cpu] {
    for_matrix_rows(cpu, m.rows, [&](int64_t row) {
      for (int64_t column = 0; column < m.columns; ++column) {
        m.step(row * m.columns + column, keep, step * x[m.place(row, column)]);
      }
    });
  });
}

void muon_blend(Stream& stream, float left, float* out, float right, const float* in, int64_t n) {
  CpuStream& cpu = cpu_stream(stream);
  cpu.enqueue([=, &cpu] {
    for_matrix_rows(cpu, div_up(n, kBlended), [&](int64_t piece) {
      const int64_t end = std::min(n, (piece + 1) * kBlended);
      for (int64_t i = piece * kBlended; i < end; ++i) out[i] = left * out[i] + right * in[i];
    });
  });
}

#define STRATA_INSTANTIATE(State)                                                                        \
  template void muon_direction(Stream&, const MuonMatrix<State>&, const MuonMomentum&, float*, double*); \
  template void muon_step(Stream&, const MuonMatrix<State>&, const float*, float, float)
STRATA_INSTANTIATE(Fp32State);
STRATA_INSTANTIATE(MasterState);
#undef STRATA_INSTANTIATE

}  // namespace strata::cpu
