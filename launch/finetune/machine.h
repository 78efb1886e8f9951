// SPDX-License-Identifier: Apache-2.0
// What the machine offers a run of one process: memory, drive, rates of work. Looked at once, before
// planning.
#pragma once

#include <string>

#include "core/device/device.h"
#include "core/io/file_system.h"
#include "core/step/model_costs.h"
#include "launch/config/config.h"

namespace strata {

struct FinetuneMachine {
  DeviceKind device = DeviceKind::cpu;
  std::string device_name;   // "2 cores", "NVIDIA H100 80GB HBM3"
  int gpus = 0;              // this process can use; a run of one process takes one
  int64_t device_bytes = 0;  // free on a GPU; on a CPU the host's
  int64_t host_bytes = 0;    // this process may still take: of the machine and of its control group
  std::string drive;         // the folder that was looked at: the nearest that is there
  int64_t drive_bytes = 0;   // free
  std::string drive_type;    // of file system
  std::string no_state;      // why state of training cannot lie there; empty: it can
  Rates rates;               // measured where that takes no second, else a share of what cannot be exceeded
};

// `out`: the run's folder, which need not be there. `any_volume` as offload.any_volume.
FinetuneMachine look_at_finetune_machine(FileSystem& files, DeviceChoice choice, const std::string& out,
                                         bool any_volume);

std::string to_string(const FinetuneMachine& machine);  // a line each for device, memory and drive

}  // namespace strata
