// SPDX-License-Identifier: Apache-2.0
// A folder that runs write to, tried: which file system, which way of doing I/O, how fast.
#include "core/base/error.h"
#include "launch/doctor/facts.h"
#include "offload/drive_probe.h"

namespace strata::doctor {

StorageFacts look_at_storage(FileSystem& files, const std::string& path) {
  StorageFacts facts{.path = path};
  try {
    facts.volume = files.volume(path);
    const DriveProbe probe = probe_drive(files, path);
    facts.direct = probe.direct;
    facts.engine = probe.engine;
    facts.engine_note = probe.engine_note;
    facts.write_gb_per_s = probe.write_gb_per_s;
    facts.read_gb_per_s = probe.read_gb_per_s;
    facts.mixed_gb_per_s = probe.mixed_gb_per_s;
  } catch (const Error& error) {
    facts.error = error.report().found.empty() ? error.report().what : error.report().found;
  }
  return facts;
}

}  // namespace strata::doctor
