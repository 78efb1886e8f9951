// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "core/device/cpu/cpu_stream.h"
#include "core/device/devices.h"

namespace strata {
namespace {

class Cpu final : public OpenDevice {
 public:
  explicit Cpu(WorkerPool& pool) : pool_(pool), memory_(make_cpu_allocator()) {}

  Device device() const override { return {DeviceKind::cpu, 0}; }
  std::string name() const override { return "cpu"; }
  int64_t memory_bytes() const override {
    return int64_t{sysconf(_SC_AVPHYS_PAGES)} * int64_t{sysconf(_SC_PAGESIZE)};
  }
  const std::shared_ptr<Allocator>& memory() const override { return memory_; }
  const std::shared_ptr<Allocator>& host_memory() const override { return memory_; }
  std::unique_ptr<Stream> make_stream(Use use) override {
    return std::make_unique<CpuStream>(
        pool_, use == Use::compute ? CpuStream::Mode::inline_ : CpuStream::Mode::threaded);
  }

 private:
  WorkerPool& pool_;
  std::shared_ptr<Allocator> memory_;
};

}  // namespace

std::unique_ptr<OpenDevice> open_cpu(WorkerPool& pool) { return std::make_unique<Cpu>(pool); }

}  // namespace strata
