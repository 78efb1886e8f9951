// SPDX-License-Identifier: Apache-2.0
#include "launch/train/coded_moments.h"

#include <algorithm>
#include <cstring>

#include "core/tensor/bf16.h"
#include "core/tensor/transfer.h"

namespace strata {
namespace {

struct HostCopy {
  Tensor codes, shared;

  HostCopy(Stream& stream, const CodedPiece& piece)
      : codes(make_tensor(*make_cpu_allocator(), DType::u8, piece.codes.shape(), "codes")),
        shared(make_tensor(*make_cpu_allocator(), DType::u8, piece.shared.shape(), "what codes share")) {
    transfer(stream, piece.codes, codes);
    transfer(stream, piece.shared, shared);
    stream.synchronize();
  }
  std::vector<float> numbers(const CodedPiece& piece) const {
    std::vector<float> numbers(static_cast<size_t>(codes.numel()));
    piece.codec->decode(codes.data<uint8_t>(), shared.data<uint8_t>(), codes.numel(), numbers.data());
    return numbers;
  }
};

}  // namespace

CodedPiece coded_piece(const LogicalState& state, std::span<const StateSlot> slots, size_t slot) {
  const int64_t per = slots[slot + 1].per, count = state.held.numel();
  const int64_t begin = state.offset / per * per;
  const int64_t end = std::min(round_up(state.offset + count, per), state.state[slot].numel());
  return {.codec = slots[slot].codec,
          .codes = state.state[slot].slice(0, begin, end - begin),
          .shared = state.state[slot + 1].slice(0, begin / per, div_up(end - begin, per)),
          .before = state.offset - begin,
          .count = count};
}

void decode_piece(const CodedPiece& piece, const uint8_t* codes, const uint8_t* shared,
                  std::span<std::byte> into) {
  std::vector<float> numbers(static_cast<size_t>(piece.codes.numel()));
  piece.codec->decode(codes, shared, piece.codes.numel(), numbers.data());
  for (int64_t i = 0; i < piece.count; ++i) {
    const bf16 number = to_bf16(numbers[static_cast<size_t>(piece.before + i)]);
    std::memcpy(into.data() + i * static_cast<int64_t>(sizeof number), &number, sizeof number);
  }
}

void read_piece(Stream& stream, const CodedPiece& piece, const Tensor& into) {
  const HostCopy copy(stream, piece);
  decode_piece(piece, copy.codes.data<uint8_t>(), copy.shared.data<uint8_t>(),
               {into.raw(), static_cast<size_t>(into.bytes())});
}

void write_piece(Stream& stream, const CodedPiece& piece, const Tensor& values) {
  const HostCopy copy(stream, piece);
  std::vector<float> numbers = copy.numbers(piece);
  for (int64_t i = 0; i < piece.count; ++i)
    numbers[static_cast<size_t>(piece.before + i)] = values.dtype() == DType::bf16
                                                         ? to_float(values.data<const bf16>()[i])
                                                         : values.data<const float>()[i];
  piece.codec->encode(numbers.data(), piece.codes.numel(), copy.codes.data<uint8_t>(),
                      copy.shared.data<uint8_t>());
  transfer(stream, copy.codes, piece.codes);
  transfer(stream, copy.shared, piece.shared);
  stream.synchronize();  // the copies go
}

}  // namespace strata
