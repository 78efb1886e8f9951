// SPDX-License-Identifier: Apache-2.0
// A folder that runs write to, tried: which file system, which way of doing I/O, how fast.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "core/base/error.h"
#include "core/io/async_io.h"
#include "launch/doctor/facts.h"

namespace strata::doctor {
namespace {

constexpr int64_t kBlock = 4 << 20;
constexpr int64_t kMostBytes = 128 << 20;
constexpr std::chrono::milliseconds kMostTime{
    1500};  // for each direction: a slow disk gives a shorter measurement

using Clock = std::chrono::steady_clock;

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, FreeMemory>;

// Removes the file whatever happens.
struct Removed {
  FileSystem& files;
  std::string path;
  ~Removed() {
    try {
      files.remove(path);
    } catch (const Error&) {  // a folder that has become read-only meanwhile
    }
  }
};

// GB/s of blocks asked for until `most` bytes or the time is over; `ended` runs before the clock stops. The
// bytes moved.
template <typename Request, typename Ended>
int64_t measure(AsyncIo& io, int64_t most, const Request& request, const Ended& ended, double* gb_per_s) {
  const auto begin = Clock::now();
  int64_t at = 0;
  while (at < most && Clock::now() - begin < kMostTime) {
    if (io.in_flight() >= 8)
      if (const auto done = io.wait_any()) require(*done);
    io.submit(request(at));
    at += kBlock;
  }
  for (const IoCompletion& done : io.wait_all()) require(done);
  ended();
  *gb_per_s = static_cast<double>(at) / std::chrono::duration<double>(Clock::now() - begin).count() / 1e9;
  return at;
}

}  // namespace

StorageFacts look_at_storage(FileSystem& files, const std::string& path) {
  StorageFacts facts{.path = path};
  try {
    facts.volume = files.volume(path);
    const Removed removed{files, path + "/strata-doctor-" + std::to_string(getpid()) + ".tmp"};
    const auto file = files.open(removed.path, OpenMode::create_new, Caching::prefer_direct);
    facts.direct = file->direct();
    const auto io = files.make_async_io({});
    facts.engine = io->name();
    facts.engine_note = io->note();
    const Memory block(static_cast<std::byte*>(std::aligned_alloc(4096, kBlock)));
    // Not zeros, which some file systems and drives do not write.
    for (int64_t i = 0; i < kBlock; ++i) block.get()[i] = static_cast<std::byte>((i * 2654435761u) >> 13);
    const int64_t most = std::min(kMostBytes, facts.volume->free_bytes / 4 / kBlock * kBlock);
    if (most == 0) return facts;
    const std::span memory(block.get(), static_cast<size_t>(kBlock));
    uint64_t token = 0;
    const int64_t written = measure(
        *io, most, [&](int64_t at) { return IoRequest::write(*file, at, memory, ++token); },
        [&] { file->sync(); }, &facts.write_gb_per_s);
    // Each read into memory of its own: they go on at once.
    const Memory room(static_cast<std::byte*>(std::aligned_alloc(4096, kBlock * 16)));
    measure(
        *io, written,
        [&](int64_t at) {
          std::byte* into = room.get() + at / kBlock % 16 * kBlock;
          return IoRequest::read(*file, at, {into, static_cast<size_t>(kBlock)}, ++token);
        },
        [] {}, &facts.read_gb_per_s);
  } catch (const Error& error) {
    facts.error = error.report().found.empty() ? error.report().what : error.report().found;
  }
  return facts;
}

}  // namespace strata::doctor
