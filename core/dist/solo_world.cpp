// SPDX-License-Identifier: Apache-2.0
// A job of one rank. Its communicators have one member, for whom the base class does all there is to do.
#include <unistd.h>

#include <array>

#include "core/base/check.h"
#include "core/dist/communicator.h"

namespace strata {
namespace {

class SoloCommunicator : public Communicator {
 public:
  explicit SoloCommunicator(GroupSpec spec) : Communicator(std::move(spec), 0) {}

  void run(Stream& stream, const Collective& op, std::byte*) override {
    fail_contract(
        fmt::format("[{}] a job of one rank has no copy on {}", name(op.kind), to_string(stream.device())));
  }
  void run_barrier() override {}
  int64_t scratch_bytes(const Collective&, DeviceKind) const override { return 0; }
};

class Silence : public NoticeChannel {
 public:
  void post(int, std::string_view) override {}
  std::optional<Notice> poll() override { return std::nullopt; }
};

class SoloWorld : public World {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string host() const override { return host_name(); }
  std::unique_ptr<Communicator> group(GroupSpec spec) override {
    place_in(spec, 0, 1);
    return std::make_unique<SoloCommunicator>(std::move(spec));
  }
  std::unique_ptr<NoticeChannel> notices() override { return std::make_unique<Silence>(); }
  void abort(const std::string&) override {}  // nobody waits for anybody
  bool aborted() const override { return false; }
  bool reports_abort() override { return true; }
};

}  // namespace

std::string host_name() {
  std::array<char, 256> text{};
  return gethostname(text.data(), text.size() - 1) == 0 ? std::string(text.data()) : "unknown host";
}

std::unique_ptr<World> make_solo_world() { return std::make_unique<SoloWorld>(); }

}  // namespace strata
