// SPDX-License-Identifier: Apache-2.0
#include "core/ops/cpu/kernels/dropout_kernels.h"

#include "core/ops/cpu/vec_math.h"

namespace strata::cpu::STRATA_ISA_NAMESPACE {
namespace {

constexpr int kPerBlock = 8;                // elements that one Philox block serves
constexpr int kDrawn = kLanes * kPerBlock;  // elements of one draw

// philox4x32 (core/base/philox.h) of the blocks [first, first + kLanes): word w of block i is words[4 i + w].
void draw(const DropoutRows& args, uint64_t first, uint32_t* words) {
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t block = first + static_cast<uint64_t>(i);
    c0[i] = static_cast<uint32_t>(block);
    c1[i] = static_cast<uint32_t>(block >> 32);
    c2[i] = args.counter[0];
    c3[i] = args.counter[1];
  }
  uint32_t k0 = args.key[0], k1 = args.key[1];
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kLanes; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[i], p1 = uint64_t{0xCD9E8D57u} * c2[i];
      c0[i] = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<uint32_t>(p1);
      c3[i] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < kLanes; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

// The factors of the elements [first, first + kDrawn), `first` being the first of a block.
void draw_factors(const DropoutRows& args, uint64_t first, float* factors) {
  uint32_t words[4 * kLanes];
  draw(args, first / kPerBlock, words);
  for (int i = 0; i < 4 * kLanes; ++i) {
    factors[2 * i] = (words[i] & 0xFFFFu) < args.below ? 0.0f : args.kept;
    factors[2 * i + 1] = words[i] >> 16 < args.below ? 0.0f : args.kept;
  }
}

void dropout(const DropoutRows& args, Range rows) {
  with_type(args.x.dtype, [&]<typename T>(Type<T>) {
    alignas(64) float factors[kDrawn];
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const T* x = args.x.row<T>(r);
      const T* add = args.add.data ? args.add.row<T>(r) : nullptr;
      T* out = args.out.row<T>(r);
      const uint64_t begin = args.first + static_cast<uint64_t>(r) * args.pitch;
      for (int64_t i = 0; i < args.width;) {
        const uint64_t element = begin + static_cast<uint64_t>(i);
        const int inside = static_cast<int>(element % kPerBlock);
        draw_factors(args, element - static_cast<uint64_t>(inside), factors);
        const int64_t left = args.width - i, count = left < kDrawn - inside ? left : kDrawn - inside;
        const auto left_of = [&](int64_t j, auto lanes) __attribute__((always_inline)) {
          return load(x + i + j, lanes) * load(factors + inside + j, lanes);
        };
        if (add)
          for_lanes(count, [&](int64_t j, auto lanes) {
            store(out + i + j, left_of(j, lanes) + load(add + i + j, lanes), lanes);
          });
        else
          for_lanes(count, [&](int64_t j, auto lanes) { store(out + i + j, left_of(j, lanes), lanes); });
        i += count;
      }
    }
  });
}

}  // namespace

const DropoutKernels dropout_kernels{.dropout = dropout};

}  // namespace strata::cpu::STRATA_ISA_NAMESPACE
