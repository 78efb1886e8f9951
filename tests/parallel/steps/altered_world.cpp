// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/steps/altered_world.h"

namespace strata {

void ReceivedBytes::add(const GroupSpec& spec, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  by_purpose_[spec.purpose.starts_with("shards") ? "shards" : spec.purpose] += bytes;
  by_level_[static_cast<size_t>(spec.level)] += bytes;
}

void ReceivedBytes::reset() {
  const std::lock_guard lock(mutex_);
  by_purpose_.clear();
  by_level_ = {};
}

std::map<std::string, int64_t> ReceivedBytes::by_purpose() const {
  const std::lock_guard lock(mutex_);
  return by_purpose_;
}

std::array<int64_t, kNumLinkLevels> ReceivedBytes::by_level() const {
  const std::lock_guard lock(mutex_);
  return by_level_;
}

namespace {

class AlteredCommunicator final : public Communicator {
 public:
  AlteredCommunicator(std::unique_ptr<Communicator> inner, ReceivedBytes& received,
                      const Alteration& alteration)
      : Communicator(inner->spec(), inner->rank()),
        inner_(std::move(inner)),
        received_(received),
        alteration_(alteration) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    received_.add(spec(), received_bytes(op, rank(), size()));
    const auto run = [&] { inner_->run(stream, op, scratch); };
    if (!alteration_.operation) return run();
    alteration_.operation(spec(), op, run);
  }
  void run_barrier() override { inner_->run_barrier(); }
  int64_t scratch_bytes(const Collective& op, DeviceKind device) const override {
    return inner_->scratch_bytes(op, device);
  }

 private:
  std::unique_ptr<Communicator> inner_;
  ReceivedBytes& received_;
  const Alteration& alteration_;
};

class AlteredWorld final : public World {
 public:
  AlteredWorld(World& inner, ReceivedBytes& received, const Alteration& alteration)
      : inner_(inner), received_(received), alteration_(alteration) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string host() const override { return inner_.host(); }
  std::unique_ptr<Communicator> group(GroupSpec spec) override {
    if (alteration_.group) alteration_.group(spec);
    return std::make_unique<AlteredCommunicator>(inner_.group(std::move(spec)), received_, alteration_);
  }
  void abort(const std::string& reason) override { inner_.abort(reason); }

 private:
  World& inner_;
  ReceivedBytes& received_;
  const Alteration& alteration_;
};

}  // namespace

std::unique_ptr<World> alter(World& world, ReceivedBytes& received, const Alteration& alteration) {
  return std::make_unique<AlteredWorld>(world, received, alteration);
}

}  // namespace strata
