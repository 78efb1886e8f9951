// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/shard_writer.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/io/crc32c.h"
#include "core/io/page_memory.h"

namespace strata {

ShardWriter::ShardWriter(FileSystem& files, std::string path, std::vector<ShardEntry> entries,
                         int64_t block_bytes)
    : ShardWriter(files, std::move(path), std::move(entries), block_bytes, OpenMode::create_new, {}) {}

// Without offsets, the file is new and is laid out.
ShardWriter::ShardWriter(FileSystem& files, std::string path, std::vector<ShardEntry> entries,
                         int64_t block_bytes, OpenMode mode, std::span<const int64_t> offsets)
    : path_(std::move(path)),
      entries_(std::move(entries)),
      block_bytes_(block_bytes),
      buffered_(files.open(path_, mode)),
      written_(entries_.size()) {
  check(block_bytes_ > 0 && block_bytes_ % kPage == 0, "[shard] blocks of {} bytes", block_bytes_);
  std::vector<int64_t> laid_out;
  if (mode == OpenMode::create_new) {
    laid_out = lay_out_shard(*buffered_, entries_);
    offsets = laid_out;
  }
  bytes_ = buffered_->size();
  buffered_->preallocate(bytes_);
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (size_t i = 0; i < entries_.size(); ++i) {
    written_[i].offset = offsets[i];
    ranges.emplace_back(offsets[i], entries_[i].bytes());
  }
  gaps_crc_ = crc_of_gaps(*buffered_, bytes_, std::move(ranges));
  direct_ = files.open(path_, OpenMode::update, Caching::prefer_direct);
  const Alignment alignment = direct_->alignment();
  if (!direct_->direct() || kPage % alignment.offset != 0 || kPage % alignment.memory != 0) direct_ = nullptr;
}

// HDF5 lays the same entries out alike: what it makes now says what the file must be.
std::unique_ptr<ShardWriter> ShardWriter::adopt(FileSystem& files, const std::string& path,
                                                const std::vector<ShardEntry>& entries, int64_t block_bytes) {
  if (!files.info(path)) return nullptr;
  const std::string again = path + ".layout";
  files.remove(again);
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
  uint32_t gaps = 0;
  {
    const auto file = files.open(again, OpenMode::create_new);
    offsets = lay_out_shard(*file, entries);
    bytes = file->size();
    std::vector<std::pair<int64_t, int64_t>> ranges;
    for (size_t i = 0; i < entries.size(); ++i) ranges.emplace_back(offsets[i], entries[i].bytes());
    gaps = crc_of_gaps(*file, bytes, std::move(ranges));
  }
  files.remove(again);
  if (files.info(path)->bytes != bytes) return nullptr;
  std::unique_ptr<ShardWriter> writer(
      new ShardWriter(files, path, entries, block_bytes, OpenMode::update, offsets));
  return writer->gaps_crc_ == gaps ? std::move(writer) : nullptr;
}

bool ShardWriter::keep(size_t entry, const Digest& digest) {
  const auto& [tensor, rect] = entries_[entry];
  const int64_t bytes = entries_[entry].bytes();
  const PageMemory memory = page_memory(bytes);
  const std::span<std::byte> elements(memory.get(), static_cast<size_t>(bytes));
  buffered_->read(written_[entry].offset, elements);
  if (digest_of(tensor.shape, rect, size_of(tensor.type), elements.data()) != digest) return false;
  written_[entry].digest = digest;
  for (int64_t at = 0; at < bytes; at += block_bytes_)
    written_[entry].crcs.push_back(crc32c(
        elements.subspan(static_cast<size_t>(at), static_cast<size_t>(std::min(block_bytes_, bytes - at)))));
  return true;
}

// Both sums of a piece are made while a core's cache holds it.
void ShardWriter::write(size_t entry, std::span<const std::byte> elements, AsyncIo* engine,
                        const Await& await) {
  constexpr int64_t kPieceBytes = 64 << 10;
  const auto& [tensor, rect] = entries_[entry];
  const int64_t bytes = std::ssize(elements), size = size_of(tensor.type);
  check(bytes == entries_[entry].bytes(), "[shard] {} bytes for '{}' of {}", bytes, tensor.name,
        entries_[entry].bytes());
  WrittenFragment& written = written_[entry];
  check(written.crcs.empty(), "[shard] '{}' is written twice", tensor.name);
  for (int64_t at = 0; at < bytes; at += block_bytes_) {
    const int64_t end = std::min(at + block_bytes_, bytes);
    if (await) await(end);
    uint32_t crc = 0;
    for (int64_t from = at; from < end; from += kPieceBytes) {
      const auto piece =
          elements.subspan(static_cast<size_t>(from), static_cast<size_t>(std::min(kPieceBytes, end - from)));
      crc = crc32c_extend(crc, piece);
      written.digest +=
          digest_of_part(tensor.shape, rect, from / size, std::ssize(piece) / size, size, piece.data());
    }
    written.crcs.push_back(crc);
    write_block(written.offset + at, elements.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at)),
                engine);
  }
}

// Whole pages go past the page cache; what shares a page with HDF5's own bytes goes through it, as those did.
void ShardWriter::write_block(int64_t offset, std::span<const std::byte> block, AsyncIo* engine) {
  const bool pages = direct_ && offset % kPage == 0;
  const auto body = block.first(pages ? block.size() / kPage * kPage : engine ? block.size() : 0);
  const auto rest = block.subspan(body.size());
  if (!body.empty()) {
    File& file = pages ? *direct_ : *buffered_;
    const bool aligned = !pages || reinterpret_cast<uintptr_t>(body.data()) % kPage == 0;
    if (aligned && engine) {
      engine->submit(IoRequest::write(file, offset, body, tokens_++));
    } else if (aligned) {
      file.write(offset, body);
    } else {
      const PageMemory copy = page_memory(std::ssize(body));
      std::memcpy(copy.get(), body.data(), body.size());
      file.write(offset, {copy.get(), body.size()});
    }
  }
  if (!rest.empty()) buffered_->write(offset + std::ssize(body), rest);
}

void ShardWriter::finish(AsyncIo& engine) {
  for (const IoCompletion& completion : engine.wait_all()) require(completion);
}

// Each handle learns of failed writes by itself.
void ShardWriter::sync() {
  for (size_t i = 0; i < entries_.size(); ++i)
    check(!written_[i].crcs.empty(), "[shard] '{}' was not written", entries_[i].tensor.name);
  sync_written();
}

void ShardWriter::sync_written() {
  if (direct_) direct_->sync();
  buffered_->sync();
}

uint32_t crc_of_gaps(File& file, int64_t file_bytes, std::vector<std::pair<int64_t, int64_t>> ranges) {
  std::sort(ranges.begin(), ranges.end());
  ranges.emplace_back(file_bytes, 0);
  std::vector<std::byte> buffer(64 << 10);
  uint32_t crc = 0;
  int64_t at = 0;
  for (const auto& [offset, bytes] : ranges) {
    while (at < offset) {
      const auto piece =
          std::span(buffer).first(static_cast<size_t>(std::min(offset - at, std::ssize(buffer))));
      file.read(at, piece);
      crc = crc32c_extend(crc, piece);
      at += std::ssize(piece);
    }
    at = offset + bytes;
  }
  return crc;
}

}  // namespace strata
