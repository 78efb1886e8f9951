// SPDX-License-Identifier: Apache-2.0
// The pieces of a SentencePiece model, read and written without its library: it is a protobuf message,
// ModelProto of sentencepiece_model.proto, of which three fields are wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace strata {

struct SentencePiecePieces {
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> types;  // 1 normal, 2 unknown, 3 control, 4 of the user, 5 unused, 6 a byte
  bool add_dummy_prefix = true;
};

// Ids of pieces with a meaning; none: the model has no such piece.
struct SentencePieceIds {
  std::optional<int64_t> begin, end, padding;
};

// Throws Error(model) for bytes that are no such message. `where` is the file.
SentencePiecePieces read_sentencepiece_pieces(std::string_view bytes, const std::string& where);

// A model whose library cuts text as llama.cpp does with these pieces: merges by score (model type BPE),
// spaces as U+2581, nothing normalized, bytes for what no piece has when all 256 are there. One piece is the
// unknown one.
std::string write_sentencepiece_model(const SentencePiecePieces& pieces, const SentencePieceIds& ids);

}  // namespace strata
