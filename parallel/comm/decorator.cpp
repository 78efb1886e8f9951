// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/decorator.h"

#include "core/device/cpu/cpu_stream.h"

namespace strata {
namespace {

class DecoratedWorld : public World {
 public:
  DecoratedWorld(World& inner, Decorate decorate) : inner_(&inner), decorate_(std::move(decorate)) {}
  DecoratedWorld(std::unique_ptr<World> inner, Decorate decorate)
      : owned_(std::move(inner)), inner_(owned_.get()), decorate_(std::move(decorate)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::string host() const override { return inner_->host(); }
  std::unique_ptr<Communicator> group(GroupSpec spec) override {
    return decorate_(*inner_, inner_->group(std::move(spec)));
  }
  std::unique_ptr<NoticeChannel> notices() override { return inner_->notices(); }
  void abort(const std::string& reason) override { inner_->abort(reason); }
  bool aborted() const override { return inner_->aborted(); }
  bool reports_abort() override { return inner_->reports_abort(); }
  void terminate(int code) override { inner_->terminate(code); }

 private:
  std::unique_ptr<World> owned_;
  World* inner_;
  Decorate decorate_;
};

}  // namespace

std::unique_ptr<World> decorate(std::unique_ptr<World> world, Decorate decorate) {
  return std::make_unique<DecoratedWorld>(std::move(world), std::move(decorate));
}

std::unique_ptr<World> decorate(World& world, Decorate decorate) {
  return std::make_unique<DecoratedWorld>(world, std::move(decorate));
}

void on_stream(Stream& stream, std::function<void()> work) { cpu_stream(stream).enqueue(std::move(work)); }

}  // namespace strata
