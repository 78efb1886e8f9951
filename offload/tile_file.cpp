// SPDX-License-Identifier: Apache-2.0
#include "offload/tile_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/io/crc32c.h"
#include "core/io/page_memory.h"
#include "core/program/backing_store.h"

namespace strata {
namespace {

constexpr std::string_view kTitle = "strata tile file 1";
constexpr int64_t kFillBytes = int64_t{4} << 20;

// What a slot holds before its first version. Neither zeros nor repetition: some drives and images do not
// store those.
void fill(std::span<std::byte> memory) {
  for (size_t i = 0; i + 8 <= memory.size(); i += 8) {
    const uint64_t word = mix64(i);
    std::memcpy(memory.data() + i, &word, 8);
  }
}

void write_content(FileSystem& files, File& file, const TileFileHeader& header, const AsyncIoOptions& options,
                   const std::function<void(int64_t)>& progress) {
  file.preallocate(header.bytes);
  const PageMemory memory = page_memory(std::min(kFillBytes, header.bytes));
  const std::span<std::byte> block(memory.get(), static_cast<size_t>(std::min(kFillBytes, header.bytes)));
  fill(block);
  const auto io = files.make_async_io(options);
  int64_t done = 0;
  const auto collect = [&](const IoCompletion& ended) {
    require(ended);
    done += ended.bytes;
    if (progress) progress(done);
  };
  for (int64_t at = 0; at < header.bytes; at += kFillBytes) {
    while (io->in_flight() == io->depth()) collect(*io->wait_any());
    const auto bytes = static_cast<size_t>(std::min(kFillBytes, header.bytes - at));
    io->submit(IoRequest::write(file, at, block.first(bytes), static_cast<uint64_t>(at)));
  }
  for (const IoCompletion& ended : io->wait_all()) collect(ended);
  const std::vector<std::byte> text = encode(header);
  std::copy(text.begin(), text.end(), block.begin());
  file.write(0, block.first(text.size()));
  file.sync();
}

}  // namespace

std::string tile_file_name(int rank, int path) { return fmt::format("tiles-{:04}-{}", rank, path); }
std::string slot_map_name(int rank) { return fmt::format("slots-{:04}", rank); }

std::vector<std::byte> encode(const TileFileHeader& header) {
  const std::string text =
      fmt::format("{}\nrun {}\nrank {}\npath {}\nplan {:016x}\nbytes {}\nweights {}\n", kTitle, header.run,
                  header.rank, header.path, header.plan, header.bytes, fmt::join(header.weights, " "));
  std::vector<std::byte> block(static_cast<size_t>(kStoreAlignment));
  check(text.size() + 4 <= block.size(), "[tile file] a header of {} bytes", text.size());
  std::memcpy(block.data(), text.data(), text.size());
  const uint32_t crc = crc32c(std::span(block).first(block.size() - 4));
  std::memcpy(block.data() + block.size() - 4, &crc, 4);
  return block;
}

std::optional<TileFileHeader> decode_header(std::span<const std::byte> block) {
  if (std::ssize(block) != kStoreAlignment) return std::nullopt;
  uint32_t crc;
  std::memcpy(&crc, block.data() + block.size() - 4, 4);
  if (crc != crc32c(block.first(block.size() - 4))) return std::nullopt;
  const char* const begin = reinterpret_cast<const char*>(block.data());
  std::istringstream text(std::string(begin, strnlen(begin, block.size())));
  std::string line, word;
  if (!std::getline(text, line) || line != kTitle) return std::nullopt;
  TileFileHeader header;
  std::string names;
  const auto next = [&](auto& value) {
    return static_cast<bool>(text >> word >> value) && (names += word + " ", true);
  };
  std::string plan;
  if (!next(header.run) || !next(header.rank) || !next(header.path) || !next(plan) || !next(header.bytes))
    return std::nullopt;
  text >> word;
  for (int weight; text >> weight;) header.weights.push_back(weight);
  header.plan = std::strtoull(plan.c_str(), nullptr, 16);
  if (names != "run rank path plan bytes " || word != "weights") return std::nullopt;
  return header;
}

std::optional<TileFileHeader> read_header(FileSystem& files, const std::string& path) {
  const auto file = files.open_if_exists(path, OpenMode::read);
  if (!file) return std::nullopt;
  std::vector<std::byte> block(static_cast<size_t>(kStoreAlignment));
  const int64_t bytes = file->read_up_to(0, block);
  const auto header = bytes == kStoreAlignment ? decode_header(block) : std::nullopt;
  if (!header)
    throw Error(Fault::data,
                {.what = "this is no tile file, or its header is damaged",
                 .where = path,
                 .found = fmt::format("a file of {} bytes without a valid header", file->size()),
                 .expected = "training state that Strata keeps there",
                 .fix = "if nothing is lost with it, remove it: the run then goes on from its last "
                        "checkpoint; or name another folder in offload.paths"});
  return header;
}

void create_tile_file(FileSystem& files, const std::string& path, const TileFileHeader& header,
                      const AsyncIoOptions& io, const std::function<void(int64_t)>& progress) {
  const std::string unfinished = path + ".new";
  try {
    std::string note;
    files.open(unfinished, OpenMode::create);
    write_content(files, *open_tile_file(files, unfinished, note), header, io, progress);
    files.rename(unfinished, path);
    files.sync_directory(parent_directory(path));
  } catch (const IoError& error) {
    int64_t free_bytes = 0;
    try {
      files.remove(unfinished);
      free_bytes = files.volume(parent_directory(path)).free_bytes;
    } catch (const IoError&) {  // the first cause is the one to tell
    }
    if (error.code() != ENOSPC && error.code() != EDQUOT) throw;
    throw Error(Fault::environment,
                {.what = "the tiles of training state do not fit",
                 .where = path,
                 .found = fmt::format("{} bytes free: {}", free_bytes, io_code_text(error.code())),
                 .expected = fmt::format("{} bytes", header.bytes),
                 .fix = "free space, add a folder on another drive to offload.paths, set "
                        "offload.slots=1, or keep a part of the state in memory"});
  }
}

std::unique_ptr<File> open_tile_file(FileSystem& files, const std::string& path, std::string& note) {
  auto file = files.open(path, OpenMode::update, Caching::prefer_direct);
  if (!file->direct()) {
    note = "its file system has no direct I/O: tiles go through the page cache, at more CPU time and memory";
    return file;
  }
  const Alignment needs = file->alignment();
  if (kStoreAlignment % needs.memory == 0 && kStoreAlignment % needs.offset == 0) return file;
  note = fmt::format(
      "direct I/O there needs an alignment of {} bytes, tiles have {}: they go through the page cache",
      std::max(needs.memory, needs.offset), kStoreAlignment);
  return files.open(path, OpenMode::update);
}

}  // namespace strata
