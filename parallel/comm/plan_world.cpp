// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/plan_world.h"

#include "core/base/check.h"
#include "parallel/comm/byte_collectives.h"

namespace strata {
namespace {

class PlanCommunicator : public Communicator {
 public:
  PlanCommunicator(GroupSpec spec, int rank, GpuTransport gpu)
      : Communicator(std::move(spec), rank), gpu_(gpu) {}

  void run(Stream& stream, const Collective& op, std::byte*) override {
    fail_contract(
        fmt::format("[{}] only planned, but asked for on {}", name(op.kind), to_string(stream.device())));
  }
  void run_barrier() override { fail_contract("[barrier] only planned"); }
  int64_t scratch_bytes(const Collective& op, DeviceKind device) const override {
    return device == DeviceKind::cpu ? byte_collective_scratch(op, size()) : gpu_scratch(gpu_, op, size());
  }

 private:
  GpuTransport gpu_;
};

class Silence : public NoticeChannel {
 public:
  void post(int, std::string_view) override {}
  std::optional<Notice> poll() override { return std::nullopt; }
};

class PlanWorld : public World {
 public:
  PlanWorld(int rank, int size, GpuTransport gpu) : rank_(rank), size_(size), gpu_(gpu) {
    check(rank >= 0 && rank < size, "[plan_world] rank {} of {}", rank, size);
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string host() const override { return "planned"; }
  std::unique_ptr<Communicator> group(GroupSpec spec) override {
    const int place = place_in(spec, rank_, size_);
    return std::make_unique<PlanCommunicator>(std::move(spec), place, gpu_);
  }
  std::unique_ptr<NoticeChannel> notices() override { return std::make_unique<Silence>(); }
  void abort(const std::string&) override {}
  bool aborted() const override { return false; }
  bool reports_abort() override { return true; }

 private:
  int rank_;
  int size_;
  GpuTransport gpu_;
};

}  // namespace

std::unique_ptr<World> make_plan_world(int rank, int size, GpuTransport gpu) {
  return std::make_unique<PlanWorld>(rank, size, gpu);
}

}  // namespace strata
