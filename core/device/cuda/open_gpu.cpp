// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/device/cuda/cuda_allocator.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_stream.h"
#include "core/device/cuda/energy_meter.h"
#include "core/device/devices.h"

namespace strata {
namespace {

// Multiply-adds of one multiprocessor and clock, by compute capability: f32 on CUDA cores, bf16 with f32 sums
// on tensor cores (without sparsity). Source: "Arithmetic Instructions" of the CUDA C++ Programming Guide,
// and NVIDIA's architecture white papers (A100, Ada, H100, Blackwell).
struct Rates {
  int f32, bf16;
};
Rates rates_of(int major, int minor) {
  if (major == 8) return minor == 0 ? Rates{64, 1024} : Rates{128, minor == 9 ? 512 : 256};
  if (major == 9) return {128, 2048};
  if (major == 10) return {128, 4096};
  if (major == 12) return {128, 512};
  return {0, 0};
}

class Gpu final : public OpenDevice {
 public:
  explicit Gpu(int index)
      : index_(index), memory_(make_cuda_allocator(index)), host_memory_(make_pinned_allocator(index)) {
    cudaDeviceProp properties{};
    cuda_check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    name_ = properties.name;
    if (properties.major < 8)
      throw Error(
          Fault::environment,
          {.what = "this GPU is too old",
           .where = to_string(device()),
           .found = fmt::format("{}, compute capability {}.{}", name_, properties.major, properties.minor),
           .expected = "compute capability 8.0 (Ampere) or newer",
           .fix = "use another GPU (CUDA_VISIBLE_DEVICES), or run.device = \"cpu\""});
    int clock_khz = 0;
    cuda_check(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, index), "cudaDeviceGetAttribute");
    const Rates rates = rates_of(properties.major, properties.minor);
    const double clocks = 2.0 * properties.multiProcessorCount * clock_khz * 1e3;  // a multiply-add is two
    peak_ = {.f32 = clocks * rates.f32, .bf16 = clocks * rates.bf16};
    energy_ = EnergyMeter::open(pci_bus_id(index));
    use_gpu(index);
    size_t free = 0, total = 0;
    cuda_check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    free_bytes_ = static_cast<int64_t>(free);
  }

  Device device() const override { return {DeviceKind::cuda, index_}; }
  std::string name() const override { return name_; }
  Peak peak_flops() const override { return peak_; }
  std::optional<double> joules() const override { return energy_ ? energy_->joules() : std::nullopt; }
  int64_t memory_bytes() const override { return free_bytes_; }
  const std::shared_ptr<Allocator>& memory() const override { return memory_; }
  const std::shared_ptr<Allocator>& host_memory() const override { return host_memory_; }
  std::unique_ptr<Stream> make_stream(Use use) override {
    return std::make_unique<CudaStream>(index_, use == Use::communication);
  }

 private:
  int index_;
  std::string name_;
  Peak peak_;
  std::unique_ptr<EnergyMeter> energy_;  // null: nobody counts it
  int64_t free_bytes_ = 0;
  std::shared_ptr<Allocator> memory_, host_memory_;
};

}  // namespace

bool has_cuda() { return true; }
int cuda_version() { return CUDART_VERSION; }

int num_gpus() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver || code == cudaErrorStubLibrary) {
    cudaGetLastError();  // no driver or no device: none
    return 0;
  }
  cuda_check(code, "cudaGetDeviceCount");  // there are some, but out of order: nobody must overlook it
  return count;
}

std::unique_ptr<OpenDevice> open_gpu(int index) {
  int count = 0;
  cuda_check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  if (index < 0 || index >= count)
    throw Error(Fault::environment, {.what = "there is no such GPU",
                                     .where = "run.device",
                                     .found = to_string(Device{DeviceKind::cuda, index}),
                                     .expected = fmt::format("cuda:0 to cuda:{}", count - 1),
                                     .fix = "name one of these, or check CUDA_VISIBLE_DEVICES"});
  return std::make_unique<Gpu>(index);
}

}  // namespace strata
