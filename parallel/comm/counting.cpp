// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/counting.h"

namespace strata {

class CountingCommunicator : public CommunicatorDecorator {
 public:
  CountingCommunicator(std::unique_ptr<Communicator> inner, TrafficCounter& counter)
      : CommunicatorDecorator(std::move(inner)), slot_(counter.slot(spec())) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    slot_.bytes.fetch_add(received_bytes(op, rank(), size()), std::memory_order_relaxed);
    count(op.kind);
    inner().run(stream, op, scratch);
  }
  void run_barrier() override {
    count(CollectiveKind::barrier);
    inner().run_barrier();
  }

 private:
  void count(CollectiveKind kind) {
    slot_.calls[static_cast<size_t>(kind)].fetch_add(1, std::memory_order_relaxed);
  }

  TrafficCounter::Slot& slot_;
};

TrafficCounter::Slot& TrafficCounter::slot(const GroupSpec& spec) {
  std::lock_guard lock(mutex_);
  for (Slot& slot : slots_)
    if (slot.purpose == spec.purpose && slot.level == spec.level) return slot;
  Slot& slot = slots_.emplace_back();
  slot.purpose = spec.purpose;
  slot.level = spec.level;
  return slot;
}

std::vector<Traffic> TrafficCounter::snapshot() const {
  std::lock_guard lock(mutex_);
  std::vector<Traffic> rows;
  for (const Slot& slot : slots_) {
    Traffic& row = rows.emplace_back();
    row.purpose = slot.purpose;
    row.level = slot.level;
    for (size_t kind = 0; kind < row.calls.size(); ++kind) row.calls[kind] = slot.calls[kind].load();
    row.bytes = slot.bytes.load();
  }
  return rows;
}

std::array<int64_t, kNumLinkLevels> TrafficCounter::bytes_by_level() const {
  std::array<int64_t, kNumLinkLevels> bytes{};
  for (const Traffic& row : snapshot()) bytes[static_cast<size_t>(row.level)] += row.bytes;
  return bytes;
}

std::unique_ptr<World> count_traffic(std::unique_ptr<World> world, TrafficCounter& counter) {
  return decorate(std::move(world), [&counter](World&, std::unique_ptr<Communicator> inner) {
    return std::make_unique<CountingCommunicator>(std::move(inner), counter);
  });
}

}  // namespace strata
