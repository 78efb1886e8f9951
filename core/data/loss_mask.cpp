// SPDX-License-Identifier: Apache-2.0
#include "core/data/loss_mask.h"

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

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t load(std::span<const std::byte> bytes, int64_t offset) {
  uint64_t value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

uint64_t hash_of_bits(std::span<const std::byte> bits) {
  return hash_combine(hash_name(text(bits)), bits.size());
}

[[noreturn]] void fail(const std::filesystem::path& path, int64_t offset, std::string what, std::string found,
                       std::string expected) {
  throw Error(Fault::data,
              {.what = std::move(what),
               .where = fmt::format("{}, byte {}", path.string(), offset),
               .found = std::move(found),
               .expected = std::move(expected),
               .fix = "copy .bin, .idx and .mask again from their source or tokenize the records again; "
                      "without the .mask every token is learned"});
}

}  // namespace

std::filesystem::path mask_path(const std::filesystem::path& prefix) {
  std::filesystem::path path = prefix;
  path += ".mask";
  return path;
}

uint64_t document_hash(std::span<const std::byte> lengths, std::span<const std::byte> document_indices) {
  return hash_combine(hash_name(text(lengths)), hash_name(text(document_indices)));
}

LossMask::LossMask(const std::filesystem::path& path, int64_t num_tokens, uint64_t documents)
    : file_(path), num_tokens_(num_tokens) {
  using namespace loss_mask;
  const auto bytes = file_.bytes();
  const auto size = static_cast<int64_t>(bytes.size());
  if (size < kHeaderBytes)
    fail(path, size, "a loss mask is cut off inside its header", fmt::format("{} bytes", size),
         fmt::format("a header of {} bytes", kHeaderBytes));
  if (text(bytes.first(kMagic.size())) != kMagic)
    fail(path, 0, "this is not a loss mask", "other bytes", "STRMASK and a zero byte");
  if (const uint64_t version = load(bytes, kVersionAt); version != kVersion)
    fail(path, kVersionAt, "a loss mask has an unknown version", fmt::format("version {}", version),
         fmt::format("version {}", kVersion));
  if (const uint64_t tokens = load(bytes, kTokensAt); tokens != static_cast<uint64_t>(num_tokens))
    fail(path, kTokensAt, "a loss mask belongs to other tokens", fmt::format("{} tokens", tokens),
         fmt::format("{}, as the .bin beside it holds", num_tokens));
  if (const int64_t whole = kHeaderBytes + (num_tokens + 7) / 8; size != whole)
    fail(path, std::min(size, whole), size < whole ? "a loss mask is cut off" : "a loss mask is too long",
         fmt::format("{} bytes", size), fmt::format("{} bytes for {} tokens", whole, num_tokens));
  if (load(bytes, kDocumentsAt) != documents)
    fail(path, kDocumentsAt, "a loss mask belongs to other documents",
         fmt::format("hash {:016x}", load(bytes, kDocumentsAt)),
         fmt::format("{:016x}, of the .idx beside it", documents));
  fingerprint_ = hash_of_bits(bytes.subspan(kHeaderBytes));
  if (load(bytes, kBitsHashAt) != fingerprint_)
    fail(path, kHeaderBytes, "the bits of a loss mask are damaged", fmt::format("hash {:016x}", fingerprint_),
         fmt::format("{:016x}", load(bytes, kBitsHashAt)));
}

bool LossMask::learned(int64_t token) const {
  const std::byte bits = file_.bytes()[static_cast<size_t>(loss_mask::kHeaderBytes + token / 8)];
  return ((std::to_integer<unsigned>(bits) >> (token % 8)) & 1u) != 0;
}

void LossMask::require_inside(int64_t begin, int64_t end) const {
  check(begin >= 0 && begin <= end && end <= num_tokens_, "[loss_mask] tokens [{}, {}) of {}", begin, end,
        num_tokens_);
}

void LossMask::hide(int64_t begin, std::span<int32_t> ids, int32_t hidden) const {
  require_inside(begin, begin + static_cast<int64_t>(ids.size()));
  for (size_t i = 0; i < ids.size(); ++i)
    if (!learned(begin + static_cast<int64_t>(i))) ids[i] = hidden;
}

int64_t LossMask::count_learned(int64_t begin, int64_t end) const {
  require_inside(begin, end);
  int64_t count = 0;
  for (; begin < end && begin % 8 != 0; ++begin) count += learned(begin);
  for (; begin + 8 <= end; begin += 8)
    count += std::popcount(
        std::to_integer<unsigned>(file_.bytes()[static_cast<size_t>(loss_mask::kHeaderBytes + begin / 8)]));
  for (; begin < end; ++begin) count += learned(begin);
  return count;
}

void LossMaskBuilder::append(int64_t tokens, bool learned) {
  bits_.resize(static_cast<size_t>((num_tokens_ + tokens + 7) / 8));
  if (learned)
    for (int64_t t = num_tokens_; t < num_tokens_ + tokens; ++t)
      bits_[static_cast<size_t>(t / 8)] |= std::byte{1} << (t % 8);
  num_tokens_ += tokens;
  num_learned_ += learned ? tokens : 0;
}

std::vector<std::byte> LossMaskBuilder::file(uint64_t documents) const {
  using namespace loss_mask;
  std::vector<std::byte> bytes(kHeaderBytes);
  const auto put = [&](int64_t offset, uint64_t value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
  };
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  put(kVersionAt, kVersion);
  put(kTokensAt, static_cast<uint64_t>(num_tokens_));
  put(kDocumentsAt, documents);
  put(kBitsHashAt, hash_of_bits(bits_));
  bytes.insert(bytes.end(), bits_.begin(), bits_.end());
  return bytes;
}

}  // namespace strata
