// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_device.h"

#include "core/base/error.h"
#include "launch/bench/matmul_peak.h"

namespace strata {

Device choose_device(DeviceChoice choice, int local_rank) {
  if (choice == DeviceChoice::cpu) return {};
  const int gpus = has_cuda() ? num_gpus() : 0;
  if (gpus > 0) return {DeviceKind::cuda, local_rank % gpus};
  if (choice == DeviceChoice::automatic) return {};
  throw Error(
      Fault::environment,
      {.what = has_cuda() ? "there is no GPU that this process can use" : "this program has no GPU code",
       .where = "run.device",
       .found = "cuda",
       .expected = has_cuda() ? "an NVIDIA GPU and its driver" : "a build with CUDA",
       .fix = has_cuda() ? "see `strata doctor`, check CUDA_VISIBLE_DEVICES, or run.device = \"cpu\""
                         : "build with the preset 'cuda', or run.device = \"cpu\""});
}

RunDevice::RunDevice(Device device, int threads)
    : pool_(threads),
      alone_(1),
      loading_(1),
      storing_(1),
      host_(alone_),
      open_(device.kind == DeviceKind::cuda ? open_gpu(device.index) : open_cpu(pool_)),
      compute_(open_->make_stream(OpenDevice::Use::compute)) {
  if (is_gpu()) {
    communication_ = open_->make_stream(OpenDevice::Use::communication);
    host_to_device_ = open_->make_stream(OpenDevice::Use::communication);
    device_to_host_ = open_->make_stream(OpenDevice::Use::communication);
  } else {
    communication_ = std::make_unique<CpuStream>(alone_);
    host_to_device_ = std::make_unique<CpuStream>(loading_);
    device_to_host_ = std::make_unique<CpuStream>(storing_);
  }
}

std::string RunDevice::describe() const {
  const std::string threads = fmt::format("{} thread{}", pool_.threads(), pool_.threads() == 1 ? "" : "s");
  return is_gpu() ? fmt::format("{} ({}), {}", open_->name(), to_string(device()), threads)
                  : fmt::format("CPU, {}", threads);
}

TierUse RunDevice::memory_use() const {
  if (!is_gpu()) return {};
  const Allocator::Use use = open_->memory()->total();
  return {use.bytes, use.peak_bytes};
}

double RunDevice::peak_flops(DType dtype) {
  if (is_gpu()) return dtype == DType::bf16 ? open_->peak_flops().bf16 : open_->peak_flops().f32;
  return measure_matmul_peak(pool_, dtype).flops_per_s;
}

}  // namespace strata
