// SPDX-License-Identifier: Apache-2.0
// What deferred updates gain: a drive that would hold up the end of every step works during the next forward.
// Steps are simulated here; STRATA_TIMING_TABLE=FILE also executes them, on lanes that sleep for their work,
// and writes a table.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "core/program/executor.h"
#include "core/program/passes.h"
#include "core/program/simulate.h"
#include "core/program/verify.h"

namespace strata {
namespace {

constexpr int kLayers = 12;

// A layer's forward takes 1, its backward 2, its update 0.05; its moments take `drive` to come and as long to
// go.
class DriveCosts : public CostModel {
 public:
  explicit DriveCosts(double drive) : drive_(drive) {}
  int64_t bytes(const Value& value) const override {
    return value.cls == ValueClass::map || value.cls == ValueClass::scalars ? 0 : 64;
  }
  int64_t scratch_bytes(const Action&) const override { return 0; }
  double seconds(const Action& action) const override {
    const bool layer = action.block > 0 && action.block <= kLayers;
    switch (action.kind) {
      case Kind::forward:
      case Kind::backward_input:
      case Kind::backward_weight:
        return layer ? 1 : 0;
      case Kind::update:
        return layer ? 0.05 : 0;
      case Kind::load:
      case Kind::store:
        return layer ? drive_ : 0;
      default:
        return 0;
    }
  }

 private:
  double drive_;
};

LinkedProgram step_with(Timing timing, const DriveCosts& costs, int prefetch) {
  std::vector<BlockInfo> blocks(kLayers + 2);
  blocks[0].saves_input = blocks[0].saves_weight = false;
  for (int b = 1; b <= kLayers; ++b) blocks[static_cast<size_t>(b)].moments_home = Tier::nvme;
  LinkedProgram linked =
      link(make_step(std::move(blocks), 1, {.tiers = {.prefetch = prefetch}, .timing = timing}), costs);
  require_verified(linked);
  return linked;
}

// Seconds of a step that follows others: the shortest of a few, since others only make one longer.
double executed(const LinkedProgram& linked, const DriveCosts& costs, double unit_s) {
  Executor::Handlers handlers;
  handlers.fill([&](const Invocation& i) {
    std::this_thread::sleep_for(std::chrono::duration<double>(unit_s * costs.seconds(i.action())));
  });
  std::vector<std::byte> device(static_cast<size_t>(linked.memory[Tier::device].arena));
  Executor executor(linked, handlers, {device.data()});
  double best = 1e9;
  for (int step = 0; step < 6; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    executor.run_step();
    executor.drain();  // as a StepRunner does
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (step > 0) best = std::min(best, s);
  }
  return best;
}

TEST(DeferredTiming, ADriveWorksDuringTheForward) {
  constexpr double kCompute = 3 * kLayers + 0.05 * kLayers;
  const char* const path = std::getenv("STRATA_TIMING_TABLE");
  std::string table =
      "| drive, each way, of the forward | sync, simulated | deferred | gain | sync, executed | deferred | "
      "gain |\n"
      "| --: | --: | --: | --: | --: | --: | --: |\n";
  for (const double drive : {0.25, 0.5, 1.0, 1.5, 2.0, 3.0}) {
    const DriveCosts costs(drive);
    const LinkedProgram sync = step_with(Timing::sync, costs, 2),
                        deferred = step_with(Timing::deferred, costs, 2);
    const double before = simulate(sync, costs, 3).step_seconds,
                 after = simulate(deferred, costs, 3).step_seconds;
    // At the end of a step nothing else is to do while state comes and goes; at its beginning a forward is.
    EXPECT_GE(before, kCompute + (kLayers - 3) * drive);
    EXPECT_LE(after, std::max(kCompute, 2 * kLayers + kLayers * drive) + 3 * drive + 1) << drive;
    EXPECT_LT(after, before);
    if (!path) continue;
    constexpr double kUnit = 0.02;  // seconds
    const double slow = executed(sync, costs, kUnit) / kUnit, fast = executed(deferred, costs, kUnit) / kUnit;
    table += fmt::format("| {:.2f} | {:.1f} | {:.1f} | {:.2f} | {:.1f} | {:.1f} | {:.2f} |\n", drive, before,
                         after, before / after, slow, fast, slow / fast);
  }
  if (path) std::ofstream(path) << table;
}

}  // namespace
}  // namespace strata
