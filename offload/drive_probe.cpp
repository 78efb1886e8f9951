// SPDX-License-Identifier: Apache-2.0
#include "offload/drive_probe.h"

#include <unistd.h>

#include <algorithm>
#include <functional>

#include "core/base/error.h"
#include "core/io/async_io.h"
#include "core/io/page_memory.h"

namespace strata {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kProbeBlock = int64_t{4} << 20;
constexpr int kInFlight = 8;

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

struct Measured {
  int64_t blocks = 0;
  double gb_per_s = 0;
};

// Moves blocks 0 ... `most` - 1, fewer when the time is over. `ended` runs before the clock stops.
Measured measure(AsyncIo& io, int64_t most, std::chrono::milliseconds most_time,
                 const std::function<IoRequest(int64_t block)>& request, const std::function<void()>& ended) {
  const auto begin = Clock::now();
  Measured measured;
  int64_t collected = 0;
  const auto collect = [&] { require(io.wait(static_cast<uint64_t>(collected++))); };
  for (; measured.blocks < most && Clock::now() - begin < most_time; ++measured.blocks) {
    if (measured.blocks - collected == kInFlight) collect();
    IoRequest next = request(measured.blocks);
    next.token = static_cast<uint64_t>(measured.blocks);
    io.submit(next);
  }
  while (collected < measured.blocks) collect();
  ended();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  measured.gb_per_s = 1e-9 * static_cast<double>(measured.blocks * kProbeBlock) / seconds;
  return measured;
}

}  // namespace

DriveProbe probe_drive(FileSystem& files, const std::string& folder, const DriveProbeOptions& options) {
  DriveProbe probe;
  const Removed removed{files, folder + "/strata-probe-" + std::to_string(getpid()) + ".tmp"};
  const auto file = files.open(removed.path, OpenMode::create_new, Caching::prefer_direct);
  probe.direct = file->direct();
  // Memory of its own for every request in flight, which outlives the engine. Not zeros, which some file
  // systems and drives do not write.
  const PageMemory memory = page_memory(kInFlight * kProbeBlock);
  for (int64_t i = 0; i < kInFlight * kProbeBlock; ++i)
    memory.get()[i] = static_cast<std::byte>((i * 2654435761u) >> 13);
  const auto io = files.make_async_io({});
  probe.engine = io->name();
  probe.engine_note = io->note();
  const int64_t most = std::min(options.bytes, files.volume(folder).free_bytes / 4) / kProbeBlock;
  if (most == 0) return probe;

  const auto of = [&](int64_t request) {
    return std::span<std::byte>(memory.get() + request % kInFlight * kProbeBlock,
                                static_cast<size_t>(kProbeBlock));
  };
  const auto write = [&](int64_t n) { return IoRequest::write(*file, n * kProbeBlock, of(n), 0); };
  const Measured written = measure(*io, most, options.most_time, write, [&] { file->sync(); });
  const auto read = [&](int64_t n) { return IoRequest::read(*file, n * kProbeBlock, of(n), 0); };
  const Measured got = measure(*io, written.blocks, options.most_time, read, [] {});
  // The first half is read while the second is written.
  const int64_t half = written.blocks / 2;
  const auto either = [&](int64_t n) {
    return n % 2 == 0 ? IoRequest::read(*file, n / 2 * kProbeBlock, of(n), 0)
                      : IoRequest::write(*file, (half + n / 2) * kProbeBlock, of(n), 0);
  };
  const Measured mixed = measure(*io, 2 * half, options.most_time, either, [&] { file->sync(); });
  probe.write_gb_per_s = written.gb_per_s;
  probe.read_gb_per_s = got.gb_per_s;
  probe.mixed_gb_per_s = half > 0 ? mixed.gb_per_s : std::min(written.gb_per_s, got.gb_per_s);
  return probe;
}

}  // namespace strata
