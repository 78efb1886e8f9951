// SPDX-License-Identifier: Apache-2.0
// Moments that a rule keeps as codes (StateSlot::codec), as numbers: what checkpoints hold of them. A piece
// of a parameter need not begin at a block: whole blocks around it are looked at.
#pragma once

#include "core/program/update_rule.h"
#include "core/step/step_runner.h"

namespace strata {

// Type of the numbers: it holds each of them exactly.
inline constexpr DType kDecodedType = DType::bf16;

struct CodedPiece {
  const SlotCodec* codec = nullptr;
  Tensor codes, shared;  // of the shard, whole blocks around the piece
  int64_t before = 0;    // elements ahead of the piece in them
  int64_t count = 0;     // of the piece
};

// `slot` is that of the codes among `slots`.
CodedPiece coded_piece(const LogicalState& state, std::span<const StateSlot> slots, size_t slot);

// bf16 [count] of a piece whose codes and what they share lie in the host's memory.
void decode_piece(const CodedPiece& piece, const uint8_t* codes, const uint8_t* shared,
                  std::span<std::byte> into);

// The same of a piece where it lies. Waits for the stream.
void read_piece(Stream& stream, const CodedPiece& piece, const Tensor& into);
// And the other way; `values`, f32 or bf16 of any shape, are rounded to what can be kept. The rest of the
// blocks keeps its numbers, as far as the exponents that they come to share allow. Waits for the stream.
void write_piece(Stream& stream, const CodedPiece& piece, const Tensor& values);

}  // namespace strata
