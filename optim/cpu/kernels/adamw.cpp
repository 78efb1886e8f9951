// SPDX-License-Identifier: Apache-2.0
// One plain loop, which the compiler vectorises for each instruction set and each state format. It streams
// every array once, in place and with regular stores, so it runs at memory speed (launch/bench/adam.h
// measures how near).
#include "optim/cpu/kernels/adamw_kernels.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

template <typename State>
void update(const State& state_in, const float* grad, int64_t begin, int64_t end,
            const AdamwCoefficients& c_in) {
  const State state = state_in;  // copies of our own: no store below can change them
  const AdamwCoefficients c = c_in;
#pragma GCC ivdep
  for (int64_t i = begin; i < end; ++i) state.store(i, adamw_step(state.load(i), grad[i], c));
}

// Of a block: 32 random bits an element.
void draw(const RandomKey& key, uint64_t block, uint32_t* random) {
  for (int g = 0; g < moment8::kGroups; ++g) {
    const PhiloxBlock words = random_block(key, block * moment8::kGroups + static_cast<uint64_t>(g));
    for (int w = 0; w < 4; ++w) random[moment8::element_of(g, w)] = words[static_cast<size_t>(w)];
  }
}

// A block's moments are decoded, stepped and encoded in the first cache; loops of their own, since the
// exponent of what is encoded is known only when all of it is.
template <typename State>
void update_blocks(const State& state_in, const float* grad, int64_t begin, int64_t end,
                   const AdamwCoefficients& c_in) {
  const State state = state_in;
  const AdamwCoefficients c = c_in;
  alignas(64) float moment1[State::kBlock], moment2[State::kBlock];
  alignas(64) uint32_t random[State::kBlock];
  for (int64_t first = begin; first < end; first += State::kBlock) {
    const int64_t n = std::min(State::kBlock, end - first), b = first / State::kBlock;
    uint8_t* const code1 = state.moments.code1 + first;
    uint8_t* const code2 = state.moments.code2 + first;
    draw(c.key, (c.first_index + static_cast<uint64_t>(first)) / State::kBlock, random);
    uint8_t top1 = state.moments.top1[b], top2 = state.moments.top2[b];
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const AdamwElement x = adamw_step(
          {state.value(first + i), moment8::decode1(code1[i], top1), moment8::decode2(code2[i], top2)},
          grad[first + i], c);
      state.keep(first + i, x.value, random[i]);
      moment1[i] = x.moment1;
      moment2[i] = x.moment2;
    }
    uint32_t largest1 = 0, largest2 = 0;
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t one = moment8::finite_magnitude(moment1[i]), two = moment8::finite_magnitude(moment2[i]);
      largest1 = one > largest1 ? one : largest1;
      largest2 = two > largest2 ? two : largest2;
    }
    state.moments.top1[b] = top1 = moment8::top1(largest1);
    state.moments.top2[b] = top2 = moment8::top2(largest2);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      code1[i] = moment8::encode1(moment1[i], top1, moment8::bits1(random[i]));
      code2[i] = moment8::encode2(moment2[i], top2, moment8::bits2(random[i]));
    }
  }
}

}  // namespace

const AdamwKernels adamw_kernels{.fp32 = update<Fp32State>,
                                 .master = update<MasterState>,
                                 .split = update<SplitState>,
                                 .split8 = update_blocks<Split8State>,
                                 .sr8 = update_blocks<Sr8State>};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
