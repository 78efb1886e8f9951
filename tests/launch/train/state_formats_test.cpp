// SPDX-License-Identifier: Apache-2.0
// Runs whose moments are codes: what checkpoints hold of them is enough to go on bit for bit, wherever state
// lives, and to go on in another format.
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/step_folders.h"
#include "checkpoint/strata_source.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

class StateFormats : public TinyRun {
 protected:
  LoadedConfig with(const std::string& out, const std::string& state, std::vector<std::string> more) const {
    for (const std::string& common :
         {"precision.state=" + state, std::string("schedule.type=constant"),
          std::string("checkpoint.every=10"), std::string("offload.any_volume=true")})
      more.push_back(common);
    return config(out, std::move(more));
  }
  std::string checkpoint(const std::string& run, int64_t step) const {
    return step_folder((out(run) / "checkpoints").string(), step);
  }
  std::map<std::string, std::string> tensors(const std::string& run, int64_t step) const {
    const auto files = make_posix_file_system();
    const StrataSource source(*files, checkpoint(run, step));
    std::map<std::string, std::string> sums;
    for (const ManifestTensor& tensor : source.manifest().tensors)
      sums[tensor.logical.name + "/" + tensor.logical.state] = to_string(tensor.digest);
    return sums;
  }
};

TEST_F(StateFormats, GoOnBitForBitWhereverStateLives) {
  for (const std::string state : {"split8", "sr8"}) {
    ASSERT_EQ(train(with(state, state, {"run.steps=30"})), 0);
    const std::string parts = state + "-parts";
    ASSERT_EQ(train(with(parts, state, {"run.steps=13"})), 0);
    ASSERT_EQ(train(with(parts, state,
                         {"run.steps=22", "offload.weights=nvme", "offload.master=nvme",
                          "offload.moments=nvme", "offload.slots=2"})),
              0);
    ASSERT_EQ(train(with(parts, state, {"run.steps=30", "offload.moments=host", "offload.timing=deferred"})),
              0);
    EXPECT_EQ(losses(parts), losses(state));
    for (const int64_t step : {20, 30})
      EXPECT_EQ(tensors(parts, step), tensors(state, step)) << state << step;
    // It learns as with more bytes: the mean of the last losses.
    ASSERT_EQ(train(with(state + "-fp32", "fp32", {"run.steps=30"})), 0);
    const auto mean = [](const std::vector<double>& all) { return (all[27] + all[28] + all[29]) / 3; };
    EXPECT_NEAR(mean(losses(state)), mean(losses(state + "-fp32")), 0.05) << state;
  }
}

TEST_F(StateFormats, GoOnInAnother) {
  ASSERT_EQ(train(with("own", "fp32", {"run.steps=60"})), 0);
  std::string before = checkpoint("own", 20);
  int64_t step = 20;
  for (const std::string state : {"split8", "sr8", "split", "fp32"}) {
    step += 10;
    ASSERT_EQ(train(with(state, state, {"run.steps=" + std::to_string(step), "checkpoint.resume=" + before})),
              0);
    before = checkpoint(state, step);
  }
  ASSERT_EQ(losses("fp32").size(), 10U);
  // Moments that were lost would show: the first step without them is many times too large.
  EXPECT_NEAR(losses("fp32").back(), losses("own").back(), 0.1);
}

}  // namespace
}  // namespace strata
