// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/faulty.h"

#include <fmt/format.h>

#include <thread>

#include "core/base/hash.h"

namespace strata {
namespace {

class FaultyCommunicator : public CommunicatorDecorator {
 public:
  FaultyCommunicator(World& world, std::unique_ptr<Communicator> inner, std::shared_ptr<const FaultPlan> plan)
      : CommunicatorDecorator(std::move(inner)), world_(world), plan_(std::move(plan)) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    const int64_t operation = next_++, bytes = received_bytes(op, rank(), size());
    on_stream(stream, [this, operation, bytes] { disturb(operation, bytes); });
    inner().run(stream, op, scratch);
  }
  void run_barrier() override {
    disturb(next_++, 0);
    inner().run_barrier();
  }

 private:
  void disturb(int64_t operation, int64_t bytes) {
    for (const FaultPlan::Fault& fault : plan_->faults)
      if (fault.rank == world_.rank() && fault.operation == operation &&
          (fault.purpose.empty() || fault.purpose == spec().purpose))
        go_wrong(fault, operation);
    auto delay = plan_->latency;
    if (plan_->bytes_per_second > 0)
      delay += std::chrono::microseconds(
          static_cast<int64_t>(1e6 * static_cast<double>(bytes) / plan_->bytes_per_second));
    if (plan_->jitter.count() > 0) {
      const uint64_t key =
          hash_combine(hash_combine(plan_->seed, static_cast<uint64_t>(world_.rank())),
                       hash_combine(hash_name(spec().purpose), static_cast<uint64_t>(operation)));
      delay += std::chrono::microseconds(key % static_cast<uint64_t>(plan_->jitter.count() + 1));
    }
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
  }

  void go_wrong(const FaultPlan::Fault& fault, int64_t operation) {
    const std::string where = fmt::format("rank {}@{}", world_.rank(), world_.host());
    if (fault.kind == FaultPlan::Fault::Kind::fails) {
      Error error(Fault::communication,
                  {.what = fmt::format("operation {} of \"{}\" was told to fail", operation, spec().purpose),
                   .where = where});
      world_.abort(error.what());
      throw error;
    }
    while (!world_.aborted()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    throw JobAborted(Fault::communication,
                     {.what = fmt::format("operation {} of \"{}\" was told to hang, and the job ended",
                                          operation, spec().purpose),
                      .where = where});
  }

  World& world_;
  std::shared_ptr<const FaultPlan> plan_;
  int64_t next_ = 0;
};

}  // namespace

std::unique_ptr<World> make_faulty(std::unique_ptr<World> world, FaultPlan plan) {
  return decorate(std::move(world), [plan = std::make_shared<const FaultPlan>(std::move(plan))](
                                        World& inner, std::unique_ptr<Communicator> communicator) {
    return std::make_unique<FaultyCommunicator>(inner, std::move(communicator), plan);
  });
}

}  // namespace strata
