// SPDX-License-Identifier: Apache-2.0
// The slot map: which version of every tile is the committed one, with its checksum. Its file has two areas
// that commits overwrite in turn, each record with a sequence number and a checksum of its own, so that a
// crash leaves the one before. Every byte of it is described in store_format.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/io/file_system.h"

namespace strata {

struct SlotMap {
  struct Entry {
    uint32_t slot = 0;
    uint32_t crc = 0;  // CRC-32C of the tile

    friend bool operator==(const Entry&, const Entry&) = default;
  };
  int64_t step = -1;           // optimizer steps done
  std::vector<Entry> entries;  // of the tiles that are not scratch, in the plan's order
  std::string note;            // of whoever commits: what else a restart must know; at most kMostNote bytes

  friend bool operator==(const SlotMap&, const SlotMap&) = default;
};

class SlotMapFile {
 public:
  static constexpr int64_t kMostNote = 16 * 1024;

  static int64_t file_bytes(int64_t num_entries);

  // Makes the file, durably and without a record; one that is there is replaced.
  static void create(FileSystem& files, const std::string& path, int64_t num_entries);

  // Opens what create() made; load() then tells the newest record. A file of another size is an Error(data).
  SlotMapFile(FileSystem& files, const std::string& path, uint64_t identity, int64_t num_entries);

  // The newest record that checks out; nothing when there was no commit. Records of another identity do not
  // count.
  const std::optional<SlotMap>& newest() const { return newest_; }
  // The one before it, if it is still there.
  const std::optional<SlotMap>& before() const { return before_; }

  // Durably forgets the newest record: the one before is the newest then. Needs before().
  void go_back();

  // Durable on return: a restart finds this record. When it throws, a restart finds this one or the one
  // before.
  void commit(const SlotMap& map);

 private:
  struct Record {
    uint64_t sequence = 0;
    SlotMap map;
  };
  std::vector<std::byte> encode(const Record& record) const;
  std::optional<Record> decode(std::span<const std::byte> bytes) const;  // nothing: not a record of ours

  std::unique_ptr<File> file_;
  uint64_t identity_;
  int64_t num_entries_;
  uint64_t sequence_ = 0;
  std::optional<SlotMap> newest_, before_;
};

}  // namespace strata
