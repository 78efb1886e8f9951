// SPDX-License-Identifier: Apache-2.0
#include "optim/moment8_slots.h"

#include "core/tensor/bf16.h"

namespace strata {
namespace {

// Whole blocks from `codes` on, the last one perhaps short.
using Decode = float (*)(uint8_t code, uint8_t top);
using Encode = uint8_t (*)(float x, uint8_t top, uint32_t random);
using Top = uint8_t (*)(uint32_t largest);

template <Decode decode>
void decode_blocks(const uint8_t* codes, const uint8_t* tops, int64_t count, float* values) {
  for (int64_t i = 0; i < count; ++i) values[i] = decode(codes[i], tops[i / kMomentBlock]);
}

template <Encode encode, Top top>
void encode_blocks(const float* values, int64_t count, uint8_t* codes, uint8_t* tops) {
  for (int64_t first = 0; first < count; first += kMomentBlock) {
    const int64_t end = std::min(count, first + kMomentBlock);
    uint32_t largest = 0;
    for (int64_t i = first; i < end; ++i) largest = std::max(largest, moment8::finite_magnitude(values[i]));
    const uint8_t of_block = tops[first / kMomentBlock] = top(largest);
    for (int64_t i = first; i < end; ++i) codes[i] = encode(values[i], of_block, moment8::kNearest);
  }
}

constexpr SlotCodec kMoment1{decode_blocks<moment8::decode1>, encode_blocks<moment8::encode1, moment8::top1>};
constexpr SlotCodec kMoment2{decode_blocks<moment8::decode2>, encode_blocks<moment8::encode2, moment8::top2>};

}  // namespace

std::vector<StateSlot> with_moment8_slots(std::vector<StateSlot> slots) {
  slots.push_back({.name = "moment1", .dtype = DType::u8, .codec = &kMoment1});
  slots.push_back({.name = "moment1_top", .dtype = DType::u8, .per = kMomentBlock});
  slots.push_back({.name = "moment2", .dtype = DType::u8, .codec = &kMoment2});
  slots.push_back({.name = "moment2_top", .dtype = DType::u8, .per = kMomentBlock});
  return slots;
}

Moments8 moments8_of(std::span<const Tensor> slots) {
  return {slots[0].data<uint8_t>(), slots[1].data<uint8_t>(), slots[2].data<uint8_t>(),
          slots[3].data<uint8_t>()};
}

}  // namespace strata
