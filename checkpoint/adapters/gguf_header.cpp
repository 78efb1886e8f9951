// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_header.h"

#include <set>

#include "checkpoint/adapters/gguf_cursor.h"

namespace strata {
namespace {

constexpr uint64_t kKeys = 4096, kTensors = 100'000;
constexpr int64_t kKeyBytes = 1024, kNameBytes = 64, kTextBytes = int64_t{8} << 20;
constexpr int64_t kArrayTextBytes = int64_t{64} << 20;
constexpr uint64_t kExtent = uint64_t{1} << 40;

constexpr int64_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};  // by GgufType; 0: of no fixed size

// Messages show names: nothing in them reaches a terminal but letters.
bool printable(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127; });
}

GgufType take_type(GgufCursor& cursor, const std::string& key) {
  const auto type = cursor.take<uint32_t>("a value's type");
  if (type >= std::size(kSizes))
    cursor.refuse(fmt::format("'{}' of type {}", key, type), "a type from 0 to 12");
  return static_cast<GgufType>(type);
}

nlohmann::json take_number(GgufCursor& cursor, GgufType type) {
  constexpr const char* kWhat = "a value";
  switch (type) {
    case GgufType::u8:
      return cursor.take<uint8_t>(kWhat);
    case GgufType::i8:
      return cursor.take<int8_t>(kWhat);
    case GgufType::u16:
      return cursor.take<uint16_t>(kWhat);
    case GgufType::i16:
      return cursor.take<int16_t>(kWhat);
    case GgufType::u32:
      return cursor.take<uint32_t>(kWhat);
    case GgufType::i32:
      return cursor.take<int32_t>(kWhat);
    case GgufType::f32:
      return cursor.take<float>(kWhat);
    case GgufType::u64:
      return cursor.take<uint64_t>(kWhat);
    case GgufType::i64:
      return cursor.take<int64_t>(kWhat);
    case GgufType::f64:
      return cursor.take<double>(kWhat);
    default: {
      const auto flag = cursor.take<uint8_t>(kWhat);
      if (flag > 1) cursor.refuse(fmt::format("a boolean of {}", flag), "0 or 1");
      return flag == 1;
    }
  }
}

GgufArray take_array(GgufCursor& cursor, const std::string& key) {
  GgufArray array{.type = take_type(cursor, key)};
  if (array.type == GgufType::array)
    cursor.refuse(fmt::format("'{}': an array of arrays", key), "plain arrays");
  const auto count = cursor.take<uint64_t>("an array's length");
  const int64_t each = kSizes[static_cast<size_t>(array.type)];
  // A text has at least its length.
  if (count > static_cast<uint64_t>(cursor.left() / (each > 0 ? each : 8)))
    cursor.refuse(fmt::format("'{}': {} elements", key, count), "as many as the file can hold");
  array.count = static_cast<int64_t>(count);
  array.offset = cursor.at();
  if (each > 0) cursor.skip(count * static_cast<uint64_t>(each), "an array");
  for (uint64_t i = 0; each == 0 && i < count; ++i)
    cursor.skip(cursor.take<uint64_t>("an array's text"), "an array's text");
  array.bytes = cursor.at() - array.offset;
  return array;
}

void check_text(const GgufCursor& cursor, const std::string& key, const nlohmann::json& text) {
  try {
    static_cast<void>(text.dump());
  } catch (const nlohmann::json::exception&) {
    cursor.refuse(fmt::format("'{}' is no UTF-8", key), "text");
  }
}

void take_values(GgufCursor& cursor, uint64_t keys, GgufHeader& header) {
  int64_t texts = kTextBytes;
  for (uint64_t k = 0; k < keys; ++k) {
    const std::string key = cursor.text(kKeyBytes, "a key");
    if (!printable(key)) cursor.refuse("a key with other characters than printable ASCII");
    if (header.values.contains(key) || header.arrays.contains(key))
      cursor.refuse(fmt::format("'{}' twice", key), "each once");
    const GgufType type = take_type(cursor, key);
    if (type == GgufType::array) {
      header.arrays.emplace(key, take_array(cursor, key));
    } else if (type == GgufType::string) {
      nlohmann::json text = cursor.text(texts, "a text");
      texts -= std::ssize(text.get_ref<const std::string&>());
      check_text(cursor, key, text);
      header.values[key] = std::move(text);
    } else {
      header.values[key] = take_number(cursor, type);
    }
  }
}

GgufTensor take_tensor(GgufCursor& cursor) {
  GgufTensor tensor{.name = cursor.text(kNameBytes, "a tensor's name")};
  if (!printable(tensor.name)) cursor.refuse("a tensor's name with other characters than printable ASCII");
  const auto rank = cursor.take<uint32_t>("a tensor's rank");
  if (rank < 1 || rank > 4) cursor.refuse(fmt::format("tensor '{}' of rank {}", tensor.name, rank), "1 to 4");
  std::array<uint64_t, 4> extents{};
  for (uint32_t d = 0; d < rank; ++d) {
    extents[d] = cursor.take<uint64_t>("a tensor's shape");
    if (extents[d] < 1 || extents[d] > kExtent)
      cursor.refuse(fmt::format("tensor '{}' with an extent of {}", tensor.name, extents[d]),
                    fmt::format("1 to {}", kExtent));
  }
  for (uint32_t d = rank; d > 0; --d) tensor.shape.append(static_cast<int64_t>(extents[d - 1]));
  tensor.type = cursor.take<uint32_t>("a tensor's type");
  const auto offset = cursor.take<uint64_t>("a tensor's offset");
  if (offset > static_cast<uint64_t>(cursor.at() + cursor.left()))
    cursor.refuse(fmt::format("tensor '{}' at byte {} of the data", tensor.name, offset), "inside the file");
  tensor.offset = static_cast<int64_t>(offset);
  return tensor;
}

}  // namespace

GgufHeader read_gguf_header(File& file) {
  GgufCursor cursor(file, 0, file.size());
  if (cursor.take<uint32_t>("its first bytes") != 0x46554747)  // "GGUF"
    cursor.refuse("other first bytes", "GGUF");
  GgufHeader header{.version = cursor.take<uint32_t>("its version")};
  if (header.version != 2 && header.version != 3)
    cursor.refuse(header.version >> 16 != 0 ? "a big-endian file" : fmt::format("version {}", header.version),
                  "version 2 or 3, little-endian");
  const auto tensors = cursor.take<uint64_t>("the number of tensors");
  const auto keys = cursor.take<uint64_t>("the number of keys");
  if (tensors > kTensors)
    cursor.refuse(fmt::format("{} tensors", tensors), fmt::format("at most {}", kTensors));
  if (keys > kKeys) cursor.refuse(fmt::format("{} keys", keys), fmt::format("at most {}", kKeys));
  take_values(cursor, keys, header);
  if (const auto alignment = header.values.find("general.alignment"); alignment != header.values.end()) {
    const uint64_t bytes = alignment->is_number_unsigned() ? alignment->get<uint64_t>() : 0;
    const bool good = bytes >= 8 && bytes <= (1 << 20) && bytes % 8 == 0;
    if (!good) cursor.refuse("general.alignment of " + alignment->dump(), "a multiple of 8, at most 1 MiB");
    header.alignment = static_cast<int64_t>(bytes);
  }
  std::set<std::string_view> names;
  if (tensors > static_cast<uint64_t>(cursor.left() / 32))  // the least that one takes
    cursor.refuse(fmt::format("{} tensors", tensors), "as many as the file can hold");
  header.tensors.reserve(static_cast<size_t>(tensors));
  for (uint64_t t = 0; t < tensors; ++t) {
    header.tensors.push_back(take_tensor(cursor));
    if (!names.insert(header.tensors.back().name).second)
      cursor.refuse(fmt::format("tensor '{}' twice", header.tensors.back().name), "each once");
  }
  const int64_t data = (cursor.at() + header.alignment - 1) / header.alignment * header.alignment;
  for (GgufTensor& tensor : header.tensors) {
    if (tensor.offset % header.alignment != 0)
      cursor.refuse(fmt::format("tensor '{}' at byte {} of the data", tensor.name, tensor.offset),
                    fmt::format("a multiple of {}", header.alignment));
    tensor.offset += data;
  }
  return header;
}

std::vector<std::string> read_gguf_texts(File& file, const GgufArray& array, int64_t most) {
  GgufCursor cursor(file, array.offset, array.offset + array.bytes);
  if (array.type != GgufType::string || array.count > most || array.bytes > kArrayTextBytes)
    cursor.refuse(fmt::format("an array of {} elements, {} bytes", array.count, array.bytes),
                  fmt::format("at most {} texts", most));
  std::vector<std::string> texts;
  texts.reserve(static_cast<size_t>(array.count));
  for (int64_t i = 0; i < array.count; ++i) texts.push_back(cursor.text(kArrayTextBytes, "a text"));
  return texts;
}

std::vector<double> read_gguf_numbers(File& file, const GgufArray& array, int64_t most) {
  GgufCursor cursor(file, array.offset, array.offset + array.bytes);
  if (array.type == GgufType::string || array.type == GgufType::boolean || array.count > most)
    cursor.refuse(fmt::format("an array of {} elements", array.count),
                  fmt::format("at most {} numbers", most));
  std::vector<double> numbers;
  numbers.reserve(static_cast<size_t>(array.count));
  for (int64_t i = 0; i < array.count; ++i) numbers.push_back(take_number(cursor, array.type).get<double>());
  return numbers;
}

}  // namespace strata
