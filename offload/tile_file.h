// SPDX-License-Identifier: Apache-2.0
// A tile file: the extent of one path that all tiles there live in. Its size never changes and every byte was
// written once before it gets its name, so that later writes neither grow it nor convert extents (file
// systems serialise both). The header, one block, says in plain text whose it is (store_format.md).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/io/async_io.h"
#include "core/io/file_system.h"

namespace strata {

struct TileFileHeader {
  std::string run;  // identity of the run: letters, digits, '-' and '_'
  int rank = 0;
  int path = 0;              // which of the store's paths
  uint64_t plan = 0;         // StorePlan::hash
  std::vector<int> weights;  // of all paths, which a reopened store keeps whatever they measure then
  int64_t bytes = 0;         // of the file

  friend bool operator==(const TileFileHeader&, const TileFileHeader&) = default;
};

// "tiles-0003-1": path 1 of rank 3. The slot map is "slots-0003" on the first path.
std::string tile_file_name(int rank, int path);
std::string slot_map_name(int rank);

// One block, and what it says; nothing when the block is no header or does not check out.
std::vector<std::byte> encode(const TileFileHeader& header);
std::optional<TileFileHeader> decode_header(std::span<const std::byte> block);

// The header of a tile file; nothing when there is no such file. Error(data) when it has no valid header.
std::optional<TileFileHeader> read_header(FileSystem& files, const std::string& path);

// Makes the file as "<path>.new", reserves and writes header.bytes, then names it; durable on return.
// `progress` gets bytes written so far. A failure removes what was made. ENOSPC tells what is needed.
void create_tile_file(FileSystem& files, const std::string& path, const TileFileHeader& header,
                      const AsyncIoOptions& io, const std::function<void(int64_t)>& progress);

// Open for reading and writing, past the page cache where the file system can and kStoreAlignment suffices;
// `note` says why not.
std::unique_ptr<File> open_tile_file(FileSystem& files, const std::string& path, std::string& note);

}  // namespace strata
