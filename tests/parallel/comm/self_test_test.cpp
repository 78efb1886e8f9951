// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/self_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/device/cpu/cpu_stream.h"
#include "parallel/comm/thread_world.h"

namespace strata {
namespace {

// Hands back one wrong element after one kind of operation, as a faulty library would.
class Wrong : public Communicator {
 public:
  Wrong(std::unique_ptr<Communicator> inner, CollectiveKind kind)
      : Communicator(inner->spec(), inner->rank()), inner_(std::move(inner)), kind_(kind) {}
  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    inner_->run(stream, op, scratch);
    if (op.kind != kind_ || rank() != 1) return;
    const Tensor& to = op.kind == CollectiveKind::exchange ? op.receives[0].tensor : op.to;
    if (to.numel() > 100) to.data<float>()[77] += 1;
  }
  void run_barrier() override { inner_->run_barrier(); }
  int64_t scratch_bytes(const Collective& op, DeviceKind device) const override {
    return inner_->scratch_bytes(op, device);
  }

 private:
  std::unique_ptr<Communicator> inner_;
  CollectiveKind kind_;
};

TEST(SelfTest, FindsAWrongElementOfEveryOperation) {
  for (int kind = -1; kind < static_cast<int>(CollectiveKind::barrier); ++kind) {
    std::string text;
    try {
      run_ranks(3, [&](World& world) {
        Wrong comm(world.group({.purpose = "all", .members = {0, 1, 2}}), static_cast<CollectiveKind>(kind));
        WorkerPool pool(1);
        CpuStream stream(pool);
        self_test(comm, stream);
      });
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::environment);
      text = error.what();
    }
    if (kind < 0) {
      EXPECT_EQ(text, "") << "nothing is wrong";
      continue;
    }
    EXPECT_THAT(text, testing::HasSubstr(
                          fmt::format("self test of {} failed", name(static_cast<CollectiveKind>(kind)))));
    EXPECT_THAT(text, testing::HasSubstr("member 1 of the 3 of \"all\", element 77"));
  }
}

}  // namespace
}  // namespace strata
