// SPDX-License-Identifier: Apache-2.0
// The same for NCCL, whose pretended ranks are threads of one process: two ranks train on two pretended GPUs
// while one call fails on one of them.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "launch/config/load.h"
#include "launch/train/job.h"
#include "launch/train/trainer.h"
#include "parallel/comm/thread_world.h"
#include "tests/support/cuda_on_cpu/call_faults.h"
#include "tests/support/cuda_on_cpu/nccl_faults.h"

namespace strata {
namespace {

using cuda_on_cpu::CallFault;
using testing::HasSubstr;

class NcclCallFaults : public testing::Test {
 protected:
  void SetUp() override {
    setenv("STRATA_CUDA_DEVICES", "2", 1);
    folder_ = std::filesystem::path(testing::TempDir()) / ("strata_nccl_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    std::ofstream text(folder_ / "text.txt");
    for (int i = 0; i < 200; ++i)
      text << "verse " << i << ": and " << i * i % 97 << " begat " << i * 7 % 31 << ".\n";
  }
  void TearDown() override {
    cuda_on_cpu::plan_call_fault(std::nullopt);
    std::filesystem::remove_all(folder_);
  }

  // Trains up to `steps` in both worlds, and says how it failed; empty: it did not.
  std::string train_both(int steps, const std::vector<std::string>& keys) const {
    std::vector<std::string> overrides{"run.steps=" + std::to_string(steps),
                                       "run.out=" + (folder_ / "out").string(),
                                       "data.train=[\"" + (folder_ / "text.txt").string() + "\"]"};
    overrides.insert(overrides.end(), keys.begin(), keys.end());
    const LoadedConfig loaded = parse_config(R"([run]
name = "test"
device = "cuda"
threads = 1
[model]
arch = "llama"
layers = 2
hidden = 16
heads = 2
ffn = 32
[data]
seq_len = 8
[batch]
tokens_per_step = 32
micro_batch = 1
[precision]
compute = "fp32"
[schedule]
type = "constant"
[checkpoint]
every = 1
[eval]
every = 0
[log]
every = 0
tensorboard = false
)",
                                             "test.toml", overrides);
    try {
      run_ranks(2, [&](World& world) {
        FlightRecorder recorder;
        train(loaded, job_of(world, recorder));
      });
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::communication) << error.what();
      return to_string(error.report());
    } catch (const std::exception& error) {
      return std::string("not of Strata: ") + error.what();
    }
    return "";
  }
  bool saved(int step) const {
    return std::filesystem::exists(folder_ / "out" / "checkpoints" / ("step-0000000" + std::to_string(step)));
  }
  std::filesystem::path folder_;
};

// Their answers say nothing that matters: the communicator is gone.
bool ends_a_communicator(const std::string& function) {
  return function == "ncclCommDestroy" || function == "ncclCommAbort" || function == "ncclCommFinalize";
}

TEST_F(NcclCallFaults, EveryCallThatFailsEndsTheJobWithItsName) {
  std::set<std::string> failed;
  for (const std::vector<std::string>& keys :
       {std::vector<std::string>{"parallel.dp=2", "parallel.partition=zero2", "run.mode=fast"},
        std::vector<std::string>{"parallel.tp=2", "run.mode=fast"},
        std::vector<std::string>{"parallel.pp=2", "run.mode=ordered"}}) {
    std::filesystem::remove_all(folder_ / "out");
    ASSERT_EQ(train_both(1, keys), "");
    const std::filesystem::path base = folder_ / "base";
    std::filesystem::remove_all(base);
    std::filesystem::copy(folder_ / "out", base, std::filesystem::copy_options::recursive);
    cuda_on_cpu::plan_call_fault(std::nullopt);  // counts from here
    EXPECT_EQ(train_both(3, keys), "");
    const auto counts = cuda_on_cpu::call_counts();
    for (const auto& [function, number] : counts) {
      if (!function.starts_with("nccl") || ends_a_communicator(function) || !failed.insert(function).second)
        continue;
      std::filesystem::remove_all(folder_ / "out");
      std::filesystem::copy(base, folder_ / "out", std::filesystem::copy_options::recursive);
      // How often a communicator is asked how it is depends on time: only the first call comes for certain.
      const bool polled = function == "ncclCommGetAsyncError";
      cuda_on_cpu::plan_call_fault(
          CallFault{.function = function, .call = polled ? 1 : number / 2 + 1, .status = ncclSystemError});
      const std::string text = train_both(3, keys);
      EXPECT_TRUE(cuda_on_cpu::call_fault_came()) << function;
      for (const char* part : {"found:", "fix:", "rank ", "an error of the pretended NCCL"})
        EXPECT_THAT(text, HasSubstr(part)) << function;
      EXPECT_EQ(cuda_on_cpu::nccl_counts().alive, 0) << function;
      for (const char* what : {"device memory", "page-locked memory", "stream", "event"})
        EXPECT_EQ(cuda_on_cpu::held().at(what), 0) << what << " after " << function;
      EXPECT_TRUE(saved(1)) << function;
      cuda_on_cpu::plan_call_fault(std::nullopt);
      EXPECT_EQ(train_both(3, keys), "") << "going on after " << function;
      EXPECT_TRUE(saved(3));
    }
  }
  EXPECT_THAT(failed,
              testing::IsSupersetOf({"ncclAllGather", "ncclAllReduce", "ncclReduceScatter", "ncclSend",
                                     "ncclRecv", "ncclGroupStart", "ncclGroupEnd", "ncclGetUniqueId",
                                     "ncclCommInitRankConfig", "ncclCommGetAsyncError"}));
}

TEST_F(NcclCallFaults, AnEndThatIsNotGracefulLosesNothing) {
  for (const char* function : {"ncclCommFinalize", "ncclCommDestroy"}) {
    std::filesystem::remove_all(folder_ / "out");
    cuda_on_cpu::plan_call_fault(CallFault{.function = function, .call = 1, .status = ncclSystemError});
    EXPECT_EQ(train_both(2, {"parallel.dp=2"}), "") << function;
    EXPECT_TRUE(cuda_on_cpu::call_fault_came()) << function;
    EXPECT_EQ(cuda_on_cpu::nccl_counts().alive, 0) << function;
    EXPECT_TRUE(saved(2));
  }
}

}  // namespace
}  // namespace strata
