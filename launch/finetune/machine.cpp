// SPDX-License-Identifier: Apache-2.0
#include "launch/finetune/machine.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/device/devices.h"
#include "core/device/gpu_topology.h"
#include "core/device/host_memory.h"
#include "launch/bench/matmul_peak.h"
#include "launch/metrics/humanize.h"
#include "launch/train/run_device.h"
#include "offload/drive_probe.h"
#include "offload/store_files.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

// Of peaks, what steps of models of a few hundred million parameters reach.
constexpr double kMatmulShare = 0.6, kAttentionShare = 0.2;
constexpr double kGpuBytes = 1.5e12, kGpuLink = 20e9;  // per second: memory of data-centre GPUs, PCIe 4 x16
constexpr double kLinkShare = 0.8;                     // of what a slot is specified for

std::string nearest_folder(const std::string& out) {
  fs::path at = fs::absolute(out);
  while (!fs::is_directory(at) && at.has_relative_path()) at = at.parent_path();
  return at.string();
}

void look_at_drive(FileSystem& files, bool any_volume, FinetuneMachine& machine) {
  const Volume volume = files.volume(machine.drive);
  machine.drive_bytes = volume.free_bytes;
  machine.drive_type = volume.type;
  machine.no_state = any_volume ? "" : why_refused(volume.type);
  if (!machine.no_state.empty()) return;
  const DriveProbe probe = probe_drive(files, machine.drive);
  if (probe.mixed_gb_per_s <= 0) {
    machine.no_state = "there is no room to try it";
    return;
  }
  // Both directions at once, as a step moves state.
  machine.rates.disk_read = machine.rates.disk_write = probe.mixed_gb_per_s * 1e9 / 2;
}

}  // namespace

FinetuneMachine look_at_finetune_machine(FileSystem& files, DeviceChoice choice, const std::string& out,
                                         bool any_volume) {
  FinetuneMachine machine{.drive = nearest_folder(out)};
  machine.host_bytes = look_at_host_memory().free_bytes();
  const Device device = choose_device(choice, 0);
  machine.device = device.kind;
  machine.gpus = has_cuda() ? num_gpus() : 0;
  double peak = 0;
  if (device.kind == DeviceKind::cuda) {
    const auto gpu = open_gpu(device.index);
    machine.device_name = gpu->name();
    machine.device_bytes = gpu->memory_bytes();
    peak = gpu->peak_flops().bf16;
    machine.rates.bytes = kGpuBytes;
    const double slot = gpu_topology().slots.at(static_cast<size_t>(device.index)).bytes_per_s();
    machine.rates.host_to_device = machine.rates.device_to_host = slot > 0 ? kLinkShare * slot : kGpuLink;
  } else {
    WorkerPool pool(0);
    machine.device_name = fmt::format("CPU, {} thread{}", pool.threads(), pool.threads() == 1 ? "" : "s");
    machine.device_bytes = machine.host_bytes;
    peak = measure_matmul_peak(pool, DType::bf16).flops_per_s;
  }
  if (peak > 0) {
    machine.rates.matmul_flops = kMatmulShare * peak;
    machine.rates.attention_flops = kAttentionShare * peak;
  }
  look_at_drive(files, any_volume, machine);
  return machine;
}

std::string to_string(const FinetuneMachine& m) {
  std::string text = fmt::format("device     {}{}\n", m.device_name,
                                 m.device == DeviceKind::cuda
                                     ? fmt::format(", {} of its memory free", human_bytes(m.device_bytes))
                                     : "");
  text += fmt::format("memory     {} free for this process\n", human_bytes(m.host_bytes));
  text += fmt::format("drive      {} free on {} ({}){}\n", human_bytes(m.drive_bytes), m.drive, m.drive_type,
                      m.no_state.empty() ? fmt::format(", {:.1f} GB/s there and back",
                                                       (m.rates.disk_read + m.rates.disk_write) * 1e-9)
                                         : "; no place for state: " + m.no_state);
  return text;
}

}  // namespace strata
