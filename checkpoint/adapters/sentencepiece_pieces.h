// SPDX-License-Identifier: Apache-2.0
// The pieces of a SentencePiece model, read without its library: it is a protobuf message, ModelProto of
// sentencepiece_model.proto, of which three fields are wanted.
#pragma once

#include <cstdint>
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

// Throws Error(model) for bytes that are no such message. `where` is the file.
SentencePiecePieces read_sentencepiece_pieces(std::string_view bytes, const std::string& where);

}  // namespace strata
