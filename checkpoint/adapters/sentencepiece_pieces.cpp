// SPDX-License-Identifier: Apache-2.0
// Encoding: protobuf.dev, "Encoding". Fields: sentencepiece_model.proto.
#include "checkpoint/adapters/sentencepiece_pieces.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/check.h"
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

// A message, field after field.
class MessageText {
 public:
  MessageText& integer(int field, int64_t value) {  // negative ones are ten bytes long
    varint(static_cast<uint64_t>(field) << 3);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  MessageText& real(int field, float value) {
    varint(static_cast<uint64_t>(field) << 3 | 5);
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  MessageText& bytes(int field, std::string_view value) {
    varint(static_cast<uint64_t>(field) << 3 | 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 128; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
  }

  std::string text_;
};

constexpr int32_t kUnknownPiece = 2, kBytePiece = 6;
constexpr int64_t kModelBpe = 2;

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

std::string write_sentencepiece_model(const SentencePiecePieces& pieces, const SentencePieceIds& ids) {
  MessageText model, trainer, normalizer;
  for (size_t id = 0; id < pieces.texts.size(); ++id)
    model.bytes(1, MessageText()
                       .bytes(1, pieces.texts[id])
                       .real(2, pieces.scores[id])
                       .integer(3, pieces.types[id])
                       .text());
  const auto unknown = std::find(pieces.types.begin(), pieces.types.end(), kUnknownPiece);
  check(unknown != pieces.types.end(), "[write_sentencepiece_model] no unknown piece");
  trainer.integer(3, kModelBpe).integer(4, std::ssize(pieces.texts));
  trainer.integer(35, std::count(pieces.types.begin(), pieces.types.end(), kBytePiece) == 256);
  const auto named = [&](int id_field, int piece_field, const std::optional<int64_t>& id) {
    trainer.integer(id_field, id.value_or(-1));
    if (id) trainer.bytes(piece_field, pieces.texts[static_cast<size_t>(*id)]);
  };
  named(40, 45, unknown - pieces.types.begin());
  named(41, 46, ids.begin);
  named(42, 47, ids.end);
  named(43, 48, ids.padding);
  normalizer.bytes(1, "identity").integer(3, pieces.add_dummy_prefix).integer(4, 0).integer(5, 1);
  return model.bytes(2, trainer.text()).bytes(3, normalizer.text()).text();
}

}  // namespace strata
