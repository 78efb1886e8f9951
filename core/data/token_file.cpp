// SPDX-License-Identifier: Apache-2.0
#include "core/data/token_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/hash.h"

namespace strata {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian and read in place");

constexpr int64_t kLengthBytes = 4, kPointerBytes = 8, kDocumentBytes = 8;

// Fields are not aligned, so they are copied out.
template <typename T>
T load(std::span<const std::byte> bytes, int64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string_view name_of_code(int code) {
  constexpr std::string_view kNames[] = {"", "u8", "i8", "i16", "i32", "i64", "f64", "f32", "u16"};
  return code >= 1 && code <= 8 ? kNames[code] : "unknown";
}

std::string printable(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    const auto c = static_cast<unsigned char>(b);
    text += c >= 0x20 && c < 0x7F ? std::string(1, static_cast<char>(c)) : fmt::format("\\x{:02x}", c);
  }
  return text;
}

struct Counts {
  TokenType type;
  int64_t sequences, document_indices, tokens;
};

// Proves one index against itself; every refusal goes through `fail`, which adds file and offset.
class IndexCheck {
 public:
  IndexCheck(const MappedFile& idx) : path_(idx.path()), bytes_(idx.bytes()) {}

  Counts run() const {
    Counts counts{};
    counts.type = header();
    counts.sequences = count(token_index::kSequencesAt, "sequences", kLengthBytes + kPointerBytes);
    counts.document_indices = count(token_index::kDocumentsAt, "document indices", kDocumentBytes);
    length(counts);
    counts.tokens = sequences(counts);
    documents(counts);
    return counts;
  }

 private:
  [[noreturn]] void fail(std::string what, int64_t offset, std::string found, std::string expected) const {
    throw Error(Fault::data,
                {.what = std::move(what),
                 .where = fmt::format("{}, byte {}", path_.string(), offset),
                 .found = std::move(found),
                 .expected = std::move(expected),
                 .fix = "copy the .bin and .idx again from their source, or tokenize the text again"});
  }

  int64_t size() const { return static_cast<int64_t>(bytes_.size()); }

  TokenType header() const {
    using namespace token_index;
    if (size() < kHeaderBytes)
      fail("the token index is cut off inside its header", size(), fmt::format("{} bytes", size()),
           fmt::format("a header of {} bytes", kHeaderBytes));
    if (std::memcmp(bytes_.data(), kMagic.data(), kMagic.size()) != 0)
      fail("this is not a token index", 0, printable(bytes_.first(kMagic.size())),
           printable(std::as_bytes(std::span(kMagic))));
    const auto version = load<uint64_t>(bytes_, kVersionAt);
    if (version != kVersion)
      fail("the token index has an unknown version", kVersionAt, fmt::format("version {}", version),
           fmt::format("version {}", kVersion));
    const int code = load<uint8_t>(bytes_, kTypeAt);
    const auto type = static_cast<TokenType>(code);
    if (type != TokenType::u8 && type != TokenType::u16 && type != TokenType::i32)
      fail("the token index names an element type that tokens cannot have", kTypeAt,
           fmt::format("code {} ({})", code, name_of_code(code)), "1 (u8), 4 (i32) or 8 (u16)");
    return type;
  }

  // A count whose entries could fit in the file at all, so that later arithmetic cannot overflow.
  int64_t count(int64_t offset, std::string_view of, int64_t entry_bytes) const {
    const auto value = load<uint64_t>(bytes_, offset);
    const int64_t most = (size() - token_index::kHeaderBytes) / entry_bytes;
    if (value > static_cast<uint64_t>(most))
      fail(fmt::format("the token index is cut off or its count of {} is wrong", of), offset,
           fmt::format("{} {} in a file of {} bytes", value, of, size()),
           fmt::format("at most {} in a file of this size", most));
    return static_cast<int64_t>(value);
  }

  void length(const Counts& counts) const {
    const int64_t plain = token_index::kHeaderBytes + counts.sequences * (kLengthBytes + kPointerBytes) +
                          counts.document_indices * kDocumentBytes;
    if (size() == plain) return;
    const auto expected = fmt::format("{} bytes for {} sequences and {} document indices", plain,
                                      counts.sequences, counts.document_indices);
    if (size() < plain) fail("the token index is cut off", size(), fmt::format("{} bytes", size()), expected);
    if (size() == plain + counts.sequences)
      fail("the token index holds multimodal data, which is not text", plain,
           fmt::format("{} bytes of sequence modes", counts.sequences), expected);
    fail("the token index is longer than its counts say", plain, fmt::format("{} bytes", size()), expected);
  }

  int64_t sequences(const Counts& counts) const {
    int64_t tokens = 0;
    const int64_t pointers = token_index::kHeaderBytes + counts.sequences * kLengthBytes;
    for (int64_t s = 0; s < counts.sequences; ++s) {
      const int64_t length_at = token_index::kHeaderBytes + s * kLengthBytes;
      const auto length = load<int32_t>(bytes_, length_at);
      if (length < 0)
        fail("a sequence of the token index has a negative length", length_at,
             fmt::format("sequence {} of {} tokens", s, length), "0 tokens or more");
      const int64_t pointer_at = pointers + s * kPointerBytes;
      const auto pointer = load<int64_t>(bytes_, pointer_at);
      const int64_t expected = tokens * size_of(counts.type);
      if (pointer != expected)
        fail("a sequence of the token index does not begin where the one before it ends", pointer_at,
             fmt::format("sequence {} at byte {} of the .bin", s, pointer), fmt::format("byte {}", expected));
      tokens += length;
    }
    return tokens;
  }

  void documents(const Counts& counts) const {
    const int64_t begin = size() - counts.document_indices * kDocumentBytes;
    if (counts.document_indices == 0)
      fail("the token index has no document indices", token_index::kDocumentsAt, "0 document indices",
           "one more than there are documents");
    int64_t previous = 0;
    for (int64_t d = 0; d < counts.document_indices; ++d) {
      const int64_t offset = begin + d * kDocumentBytes;
      const auto index = load<int64_t>(bytes_, offset);
      const bool first = d == 0, last = d + 1 == counts.document_indices;
      const auto found = fmt::format("document index {} is {}", d, index);
      if (first && index != 0)
        fail("the first document does not begin at the first sequence", offset, found, "0");
      if (last && index != counts.sequences)
        fail("the last document does not end at the last sequence", offset, found,
             fmt::to_string(counts.sequences));
      if (index < previous || index > counts.sequences)
        fail("the document indices are out of order", offset, found,
             fmt::format("{} to {}", previous, counts.sequences));
      previous = index;
    }
  }

  const std::filesystem::path& path_;
  std::span<const std::byte> bytes_;
};

template <typename T>
void widen(const std::byte* from, std::span<int32_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    out[i] = value;
  }
}

std::filesystem::path with_suffix(std::filesystem::path prefix, const char* suffix) {
  prefix += suffix;  // not replace_extension: a prefix may hold dots
  return prefix;
}

}  // namespace

int64_t size_of(TokenType type) {
  switch (type) {
    case TokenType::u8:
      return 1;
    case TokenType::u16:
      return 2;
    case TokenType::i32:
      return 4;
  }
  return 0;
}

std::string_view name(TokenType type) { return name_of_code(static_cast<int>(type)); }

std::filesystem::path token_file_prefix(const std::filesystem::path& path) {
  const auto suffix = path.extension();
  if (suffix != ".bin" && suffix != ".idx") return path;
  return path.parent_path() / path.stem();
}

std::filesystem::path bin_path(const std::filesystem::path& prefix) { return with_suffix(prefix, ".bin"); }
std::filesystem::path idx_path(const std::filesystem::path& prefix) { return with_suffix(prefix, ".idx"); }

TokenFile::TokenFile(const std::filesystem::path& path)
    : idx_(idx_path(token_file_prefix(path))), bin_(strata::bin_path(token_file_prefix(path))) {
  const Counts counts = IndexCheck(idx_).run();
  type_ = counts.type;
  num_tokens_ = counts.tokens;
  num_sequences_ = counts.sequences;
  num_documents_ = counts.document_indices - 1;

  const int64_t bytes = static_cast<int64_t>(bin_.bytes().size()), expected = num_tokens_ * size_of(type_);
  if (bytes != expected)
    throw Error(Fault::data,
                {.what = bytes < expected ? "the token file is cut off"
                                          : "the token file is longer than its index says",
                 .where = fmt::format("{}, byte {}", bin_.path().string(), std::min(bytes, expected)),
                 .found = fmt::format("{} bytes", bytes),
                 .expected = fmt::format("{} bytes: {} tokens of type {} by {}", expected, num_tokens_,
                                         name(type_), idx_.path().string()),
                 .fix = "copy the .bin and .idx again from their source, or tokenize the text again"});
  if (const auto path = mask_path(token_file_prefix(bin_.path())); std::filesystem::exists(path)) {
    const int64_t indices = counts.document_indices * kDocumentBytes;
    mask_.emplace(path, num_tokens_,
                  document_hash(idx_.bytes().subspan(token_index::kHeaderBytes,
                                                     static_cast<size_t>(num_sequences_ * kLengthBytes)),
                                idx_.bytes().last(static_cast<size_t>(indices))));
  }
}

int64_t TokenFile::sequence_begin(int64_t sequence) const {
  if (sequence == num_sequences_) return num_tokens_;
  const int64_t pointers = token_index::kHeaderBytes + num_sequences_ * kLengthBytes;
  return load<int64_t>(idx_.bytes(), pointers + sequence * kPointerBytes) / size_of(type_);
}

int64_t TokenFile::document_begin(int64_t document) const {
  check(document >= 0 && document <= num_documents_, "[token_file] document {} of {}", document,
        num_documents_);
  const int64_t documents = token_index::kHeaderBytes + num_sequences_ * (kLengthBytes + kPointerBytes);
  return sequence_begin(load<int64_t>(idx_.bytes(), documents + document * kDocumentBytes));
}

int64_t TokenFile::next_document(int64_t token) const {
  int64_t low = 0,
          high = num_documents_;  // the answer is document_begin(high) or that of a document in [low, high)
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (document_begin(middle) > token)
      high = middle;
    else
      low = middle + 1;
  }
  return document_begin(low);
}

void TokenFile::read(int64_t begin, std::span<int32_t> out) const {
  const auto count = static_cast<int64_t>(out.size());
  check(begin >= 0 && count <= num_tokens_ && begin <= num_tokens_ - count,
        "[token_file] {} tokens at {} of a file of {}", count, begin, num_tokens_);
  const std::byte* from = bin_.bytes().data() + begin * size_of(type_);
  switch (type_) {
    case TokenType::u8:
      return widen<uint8_t>(from, out);
    case TokenType::u16:
      return widen<uint16_t>(from, out);
    case TokenType::i32:
      return widen<int32_t>(from, out);
  }
}

void TokenFile::hide_unlearned(int64_t begin, std::span<int32_t> ids, int32_t hidden) const {
  if (mask_) mask_->hide(begin, ids, hidden);
}

int64_t TokenFile::count_learned(int64_t begin, int64_t end) const {
  return mask_ ? mask_->count_learned(begin, end) : end - begin;
}

uint64_t TokenFile::fingerprint() const {
  constexpr int64_t kPlaces = 64, kPlaceBytes = 4096;
  const auto text = [](std::span<const std::byte> bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  const std::string_view tokens = text(bin_.bytes());
  uint64_t hash = hash_combine(hash_name(text(idx_.bytes())), tokens.size());
  const auto size = static_cast<int64_t>(tokens.size());
  const int64_t stride = std::max(kPlaceBytes, size / kPlaces);  // a small file is read whole
  for (int64_t at = 0; at < size; at += stride)
    hash = hash_combine(hash, hash_name(tokens.substr(at, kPlaceBytes)));
  return mask_ ? hash_combine(hash, mask_->fingerprint()) : hash;
}

}  // namespace strata
