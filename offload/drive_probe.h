// SPDX-License-Identifier: Apache-2.0
// A folder tried before a run depends on it: how files there can be moved and how fast, written, read, and
// both at once, which is what streamed state does and what flash is slowest at.
#pragma once

#include <chrono>
#include <string>

#include "core/io/file_system.h"

namespace strata {

struct DriveProbe {
  bool direct = false;      // files take O_DIRECT: reads come from the drive, not from the page cache
  std::string engine;       // of asynchronous I/O: "io_uring", "threads"
  std::string engine_note;  // why not a better one
  double write_gb_per_s = 0, read_gb_per_s = 0;  // 0: no room to try
  double mixed_gb_per_s = 0;                     // bytes of both directions, one read for each write

  // Bytes per second of a step that reads as much as it writes: what tiles are dealt by
  // (TileStoreOptions::speeds).
  double speed() const { return mixed_gb_per_s; }
};

struct DriveProbeOptions {
  int64_t bytes = int64_t{128} << 20;  // of the file; less where little is free
  std::chrono::milliseconds most_time{
      1500};  // for each of the three: a slow drive gives a shorter measurement
};

// Writes and removes one file in `folder`, which must be a folder that can be written. Throws IoError.
DriveProbe probe_drive(FileSystem& files, const std::string& folder, const DriveProbeOptions& options = {});

}  // namespace strata
