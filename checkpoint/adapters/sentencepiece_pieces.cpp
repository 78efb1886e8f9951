// SPDX-License-Identifier: Apache-2.0
// Encoding: protobuf.dev, "Encoding". Fields: sentencepiece_model.proto.
#include "checkpoint/adapters/sentencepiece_pieces.h"

#include <cstring>
#include <limits>

#include "core/base/error.h"

namespace strata {
namespace {

// The fields of one message, one after another.
class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : rest_(bytes), where_(where) {}

  struct Field {
    uint64_t number = 0, integer = 0;
    std::string_view bytes;  // of a text, a message, or a number of fixed size
  };
  bool next(Field& field) {
    if (rest_.empty()) return false;
    const uint64_t tag = varint();
    field = {.number = tag >> 3};
    switch (tag & 7) {
      case 0:
        field.integer = varint();
        return true;
      case 1:
        field.bytes = take(8);
        return true;
      case 2:
        field.bytes = take(varint());
        return true;
      case 5:
        field.bytes = take(4);
        return true;
      default:
        refuse();
    }
  }
  [[noreturn]] void refuse() const {
    throw Error(Fault::model, {.what = "this is no whole SentencePiece model",
                               .where = where_,
                               .found = "bytes that are no protobuf message of its form",
                               .fix = "fetch the file again"});
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= uint64_t{byte & 127U} << shift;
      if (byte < 128) return value;
    }
    refuse();
  }
  std::string_view take(uint64_t count) {
    if (count > rest_.size()) refuse();
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  const std::string& where_;
};

void read_piece(Message message, SentencePiecePieces& pieces) {
  std::string text;
  float score = 0;
  int32_t type = 1;
  for (Message::Field field; message.next(field);) {
    if (field.number == 1) text = field.bytes;
    if (field.number == 2 && field.bytes.size() == sizeof score)
      std::memcpy(&score, field.bytes.data(), sizeof score);
    if (field.number == 3) {
      if (field.integer < 1 || field.integer > 6) message.refuse();
      type = static_cast<int32_t>(field.integer);
    }
  }
  pieces.texts.push_back(std::move(text));
  pieces.scores.push_back(score);
  pieces.types.push_back(type);
}

}  // namespace

SentencePiecePieces read_sentencepiece_pieces(std::string_view bytes, const std::string& where) {
  SentencePiecePieces pieces;
  Message model(bytes, where);
  for (Message::Field field; model.next(field);) {
    if (field.number == 1) read_piece({field.bytes, where}, pieces);
    if (field.number != 3) continue;
    Message normalizer(field.bytes, where);
    for (Message::Field inner; normalizer.next(inner);)
      if (inner.number == 3) pieces.add_dummy_prefix = inner.integer != 0;
  }
  if (pieces.texts.empty()) model.refuse();
  return pieces;
}

}  // namespace strata
