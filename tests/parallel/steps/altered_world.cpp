// SPDX-License-Identifier: Apache-2.0
#include "tests/parallel/steps/altered_world.h"

#include "parallel/comm/decorator.h"

namespace strata {
namespace {

class AlteredCommunicator final : public CommunicatorDecorator {
 public:
  AlteredCommunicator(std::unique_ptr<Communicator> inner, const Alteration& alteration)
      : CommunicatorDecorator(std::move(inner)), alteration_(alteration) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    alteration_.operation(spec(), op, [&] { inner().run(stream, op, scratch); });
  }

 private:
  const Alteration& alteration_;
};

class AlteredWorld final : public World {
 public:
  AlteredWorld(World& inner, const Alteration& alteration) : inner_(inner), alteration_(alteration) {}

  std::unique_ptr<Communicator> group(GroupSpec spec) override {
    if (alteration_.group) alteration_.group(spec);
    std::unique_ptr<Communicator> made = inner_.group(std::move(spec));
    return alteration_.operation ? std::make_unique<AlteredCommunicator>(std::move(made), alteration_)
                                 : std::move(made);
  }
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string host() const override { return inner_.host(); }
  std::unique_ptr<NoticeChannel> notices() override { return inner_.notices(); }
  void abort(const std::string& reason) override { inner_.abort(reason); }
  bool aborted() const override { return inner_.aborted(); }
  bool reports_abort() override { return inner_.reports_abort(); }

 private:
  World& inner_;
  const Alteration& alteration_;
};

}  // namespace

std::unique_ptr<World> alter(World& world, const Alteration& alteration) {
  return std::make_unique<AlteredWorld>(world, alteration);
}

}  // namespace strata
