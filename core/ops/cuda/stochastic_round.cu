// SPDX-License-Identifier: Apache-2.0
// A thread rounds eight elements with one Philox block where the operands are aligned and the first element
// begins a block; else a thread takes one element and draws a block for it. One read and one write; bound by
// memory, the drawing of numbers (about 100 integer instructions a block) hidden behind it.
#include "core/ops/cuda/cuda_ops.h"
#include "core/ops/cuda/kernels/elementwise.cuh"
#include "core/tensor/stochastic_rounding.h"

namespace strata::cuda {
namespace {

constexpr int kWide = static_cast<int>(kRoundingsPerBlock);

// Element i of x is element `first` + i of the whole; kWide elements must be those of one block.
template <int kElements>
__global__ void stochastic_round_kernel(const float* x, Rows<bf16> y, int64_t count, RandomKey key,
                                        uint64_t first) {
  for_elements<kElements>(y, 1, count, [&](int64_t, int64_t i, Elements<kElements, bf16>& result) {
    Elements<kElements, float> source;
    source.load(x + i);
    const uint64_t element = first + static_cast<uint64_t>(i);
    const PhiloxBlock block = random_block(key, element / kRoundingsPerBlock);
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      // With whole blocks the place in the block is e, known when compiling: the words stay in registers.
      const uint64_t place = kElements == kWide ? static_cast<uint64_t>(e) : element;
      result[e] = strata::stochastic_round(source[e], rounding_bits(block, place));
    }
  });
}

}  // namespace

void stochastic_round(Stream& stream, const Tensor& from, const Tensor& to, const RandomKey& key,
                      uint64_t first_index) {
  const int64_t count = from.numel();
  const bool blocks = is_aligned(from) && is_aligned(to) && first_index % kRoundingsPerBlock == 0;
  const int64_t whole = blocks ? count / kWide * kWide : 0;
  const auto run = [&](auto elements, int64_t first, int64_t some) {
    if (some == 0) return;
    constexpr int64_t kEach = decltype(elements)::value;
    const int64_t columns = div_up(some, kEach * kElementwiseThreads * kElementwiseVectors);
    launch(cuda_stream(stream), stochastic_round_kernel<kEach>,
           {dim3(narrow<unsigned>(columns)), dim3(kElementwiseThreads)}, from.data<const float>() + first,
           Rows<bf16>{to.data<bf16>() + first}, some, key, first_index + static_cast<uint64_t>(first));
  };
  run(std::integral_constant<int, kWide>(), 0, whole);
  run(std::integral_constant<int, 1>(), whole, count - whole);
}

}  // namespace strata::cuda
