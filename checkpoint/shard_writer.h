// SPDX-License-Identifier: Apache-2.0
// One shard on its way to disk: laid out by HDF5, its space reserved, its fragments written by our own I/O
// with the checksum of every block and the digest made on the way.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/shard_layout.h"
#include "core/io/async_io.h"
#include "core/io/file_system.h"

namespace strata {

struct WrittenFragment {
  int64_t offset = 0;
  std::vector<uint32_t> crcs;
  Digest digest;
};

class ShardWriter {
 public:
  // Makes the file, which must not be there, and reserves its space: ENOSPC comes here and not later. The
  // content is durable after sync(); its name after the folder was synced. Failures throw IoError. Without
  // sync() the file stays behind as it is.
  ShardWriter(FileSystem& files, std::string path, std::vector<ShardEntry> entries, int64_t block_bytes);

  // The file that an earlier try left, with whatever it holds of the entries; null when there is none that
  // was laid out for exactly these.
  static std::unique_ptr<ShardWriter> adopt(FileSystem& files, const std::string& path,
                                            const std::vector<ShardEntry>& entries, int64_t block_bytes);
  // Whether an entry of it is there, as its digest says. It then counts as written.
  bool keep(size_t entry, const Digest& digest);

  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }
  std::span<const ShardEntry> entries() const { return entries_; }

  // Writes an entry's elements, row-major; each entry once, from several threads without an engine. With one,
  // transfers may still run on return: `elements` stays as it is until finish(engine). Direct I/O wants
  // memory at multiples of kPage; other memory is copied first. `await`, if any, is called with how many of
  // the bytes are read next, and returns when they are there.
  using Await = std::function<void(int64_t bytes)>;
  void write(size_t entry, std::span<const std::byte> elements, AsyncIo* engine = nullptr,
             const Await& await = nullptr);
  // Waits for the transfers and throws the first failure. Nobody else uses the engine meanwhile.
  static void finish(AsyncIo& engine);

  // Every entry was written: makes the content durable.
  void sync();
  // What was written so far.
  void sync_written();
  const WrittenFragment& written(size_t entry) const { return written_[entry]; }
  uint32_t gaps_crc() const { return gaps_crc_; }

 private:
  ShardWriter(FileSystem& files, std::string path, std::vector<ShardEntry> entries, int64_t block_bytes,
              OpenMode mode, std::span<const int64_t> offsets);
  void write_block(int64_t offset, std::span<const std::byte> block, AsyncIo* engine);

  std::string path_;
  std::vector<ShardEntry> entries_;
  int64_t block_bytes_;
  std::unique_ptr<File> buffered_, direct_;  // direct_ null: the file system has none
  int64_t bytes_ = 0;
  std::vector<WrittenFragment> written_;
  uint32_t gaps_crc_ = 0;
  uint64_t tokens_ = 0;  // of requests
};

// The CRC-32C of all bytes of `file` outside of `ranges` (offset, bytes; disjoint, in any order), in order.
uint32_t crc_of_gaps(File& file, int64_t file_bytes, std::vector<std::pair<int64_t, int64_t>> ranges);

}  // namespace strata
