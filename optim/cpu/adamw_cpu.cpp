// SPDX-License-Identifier: Apache-2.0
#include "optim/cpu/adamw_cpu.h"

#include <algorithm>

#include "core/base/check.h"
#include "optim/cpu/kernels/adamw_kernels.h"

namespace strata::cpu {
namespace {

// 64 Ki elements are 1.3 to 1.9 MB of traffic, some tens of microseconds: large beside the cost of handing
// out a chunk, small enough that a late worker costs little. A tensor of one chunk never leaves the calling
// thread.
constexpr int64_t kChunk = 64 * 1024;

template <typename Body>
void for_chunks(WorkerPool& pool, int64_t n, const Body& body) {
  if (n <= kChunk) return body(int64_t{0}, n);
  pool.for_each(div_up(n, kChunk),
                [&](int64_t chunk, int) { body(chunk * kChunk, std::min(n, (chunk + 1) * kChunk)); });
}

// The loop of each state format in one instruction set's table.
AdamwLoop<Fp32State> loop_of(const AdamwKernels& kernels, const Fp32State&) { return kernels.fp32; }
AdamwLoop<MasterState> loop_of(const AdamwKernels& kernels, const MasterState&) { return kernels.master; }
AdamwLoop<SplitState> loop_of(const AdamwKernels& kernels, const SplitState&) { return kernels.split; }
AdamwLoop<Split8State> loop_of(const AdamwKernels& kernels, const Split8State&) { return kernels.split8; }
AdamwLoop<Sr8State> loop_of(const AdamwKernels& kernels, const Sr8State&) { return kernels.sr8; }
static_assert(kChunk % kMomentBlock == 0);

// What a span keeps of values that it begins with, and of moments that are zero.
template <typename State>
void initialize_span(const State& state, const float* values, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) state.store(i, {.value = canonical_nan(values[i])});
}
template <typename State>
requires(State::kBlock > 1) void initialize_span(const State& state, const float* values, int64_t begin,
                                                 int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    state.begin(i, canonical_nan(values[i]));
    state.moments.code1[i] = state.moments.code2[i] = 0;
  }
  for (int64_t b = begin / State::kBlock; b * State::kBlock < end; ++b)
    state.moments.top1[b] = state.moments.top2[b] = 0;
}

}  // namespace

template <typename State>
void adamw_update(CpuStream& stream, const State& state, const float* grad, int64_t n,
                  const AdamwCoefficients& coefficients) {
  const AdamwLoop<State> loop = loop_of(STRATA_SELECT_ISA(stream.isa(), adamw_kernels), state);
  stream.enqueue([&pool = stream.pool(), loop, state, grad, n, coefficients] {
    for_chunks(pool, n, [&](int64_t begin, int64_t end) { loop(state, grad, begin, end, coefficients); });
  });
}

template <typename State>
void initialize_state(CpuStream& stream, const State& state, const float* values, int64_t n) {
  stream.enqueue([&pool = stream.pool(), state, values, n] {
    for_chunks(pool, n, [&](int64_t begin, int64_t end) { initialize_span(state, values, begin, end); });
  });
}

template <typename State>
void export_state(CpuStream& stream, const State& state, float* values, int64_t n) {
  stream.enqueue([&pool = stream.pool(), state, values, n] {
    for_chunks(pool, n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[i] = state.value(i);
    });
  });
}

#define STRATA_INSTANTIATE(State)                                                                        \
  template void adamw_update(CpuStream&, const State&, const float*, int64_t, const AdamwCoefficients&); \
  template void initialize_state(CpuStream&, const State&, const float*, int64_t);                       \
  template void export_state(CpuStream&, const State&, float*, int64_t)
STRATA_INSTANTIATE(Fp32State);
STRATA_INSTANTIATE(MasterState);
STRATA_INSTANTIATE(SplitState);
STRATA_INSTANTIATE(Split8State);
STRATA_INSTANTIATE(Sr8State);
#undef STRATA_INSTANTIATE

}  // namespace strata::cpu
