// SPDX-License-Identifier: Apache-2.0
// `strata train` goes on from a checkpoint on the pretended GPU while one call into one of its libraries
// fails: every function that a whole run calls, its first call and one amid the run. Which those are a run
// without a fault tells. Expected: one message with what, where, found and fix, the fault's exit code,
// everything given back, and the checkpoint still good.
#include <gmock/gmock.h>

#include <map>
#include <sstream>

#include "tests/launch/ranks/job_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

using Calls = std::map<std::string, long>;

class CallFaults : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    const JobOutcome begun = run(0, train("base") + " run.steps=1");
    ASSERT_EQ(begun.code, 0) << begun.err;
  }
  static std::string train(const std::string& out) {
    return "train job.toml run.device=cuda run.steps=2 model.arch=gpt2 model.layers=1 model.hidden=16 "
           "model.heads=2 model.ffn=32 data.seq_len=8 batch.tokens_per_step=16 batch.micro_batch=1 "
           "precision.compute=bf16 schedule.type=constant checkpoint.every=1 eval.every=0 run.out=" +
           out;
  }
  // The second step of a run whose first was saved.
  JobOutcome go_on(const std::string& environment) const {
    std::filesystem::remove_all(folder_ / "out");
    std::filesystem::copy(folder_ / "base", folder_ / "out", std::filesystem::copy_options::recursive);
    return run(0, train("out"), "env STRATA_CUDA_CALLS=calls " + environment);
  }
  // Of the run before: calls by function; what was held at the end by "held: ...".
  Calls calls() const {
    std::istringstream lines(read("calls"));
    Calls calls;
    for (std::string line; std::getline(lines, line);) {
      const size_t space = line.rfind(' ');
      calls[line.substr(0, space)] = std::stol(line.substr(space + 1));
    }
    return calls;
  }
  void expect_nothing_held(const std::string& after) const {
    for (const auto& [what, number] : calls()) {
      if (what.starts_with("held: ")) {
        EXPECT_EQ(number, 0) << what << " after " << after;
      }
    }
  }
  void expect_the_run_goes_on(const std::string& after) const {
    const JobOutcome rest = run(0, train("out"));
    EXPECT_EQ(rest.code, 0) << after << "\n" << rest.err;
    EXPECT_THAT(rest.out, HasSubstr("resuming after step")) << after;
    EXPECT_EQ(losses("out").size(), 2u) << after;
  }
  // `where`: the call that the message names, if another finds the fault.
  void expect_refused(const std::string& fault, const std::string& where, int code) const {
    const JobOutcome outcome = go_on("STRATA_CUDA_FAULT=" + fault);
    EXPECT_EQ(outcome.code, code) << fault << "\n" << outcome.err;
    EXPECT_EQ(outcome.errors(), 1u) << fault << "\n" << outcome.err;
    for (const char* part : {"\n  found:    ", "\n  fix:      ", where.c_str()})
      EXPECT_THAT(outcome.err, HasSubstr(part)) << fault;
    EXPECT_THAT(outcome.out + outcome.err, testing::Not(HasSubstr("warn")))
        << fault << ": more than one message";
    expect_nothing_held(fault);
  }
};

constexpr int kEnvironment = 5, kMemory = 6;

// What only gives something back, or a wait before that: the work was done.
bool gives_back(const std::string& function) {
  return function.ends_with("Destroy") || function.starts_with("cudaFree") ||
         function == "cudaStreamSynchronize";
}
bool allocates(const std::string& function) {
  return function == "cudaMalloc" || function == "cudaHostAlloc";
}
std::string status_of(const std::string& function) {
  if (function.starts_with("cublas")) return "13";   // CUBLAS_STATUS_EXECUTION_FAILED
  if (function.starts_with("cudnn")) return "5000";  // CUDNN_STATUS_EXECUTION_FAILED
  return allocates(function) ? "2" : "719";          // cudaErrorMemoryAllocation, cudaErrorLaunchFailure
}
// How messages name a function: what one would look for.
std::string name_in_messages(const std::string& function) {
  return function == "cudaLaunchKernel" ? "kernel launch"
         : function == "cudaMalloc"     ? "no GPU memory"
                                        : function;
}

TEST_F(CallFaults, EveryCallThatFailsEndsTheRunWithOneMessage) {
  ASSERT_EQ(go_on("").code, 0);
  const Calls all = calls();
  expect_nothing_held("a good run");
  int functions = 0;
  for (const auto& [function, number] : all) {
    if (function.starts_with("held: ") || gives_back(function)) continue;
    ++functions;
    const int code = allocates(function) ? kMemory : kEnvironment;
    for (const long call : std::initializer_list<long>{1, number / 2 + 1}) {
      if (call == 1 && number > 2 && call == number / 2 + 1) continue;
      expect_refused(function + ":" + std::to_string(call) + ":" + status_of(function),
                     name_in_messages(function), code);
      if (number == 1) break;
    }
    if (functions % 3 == 0) expect_the_run_goes_on(function);  // a run each: of some
  }
  EXPECT_GE(functions, 25);
  expect_refused("cudaMalloc:1:719", "cudaMalloc", kEnvironment);
}

// As after a fault of a kernel: from then on every call fails, those that give back too.
TEST_F(CallFaults, AGpuThatIsLostIsToldOnce) {
  for (const char* call : {"1", "100", "250"}) {
    expect_refused(std::string("cudaLaunchKernel:") + call + ":719:sticky", "cudaErrorLaunchFailure",
                   kEnvironment);
    expect_refused(std::string("cudaLaunchKernel:") + call + ":700:later",
                   "it may belong to work enqueued before", kEnvironment);
    expect_the_run_goes_on(call);
  }
  expect_refused("cudaMemcpyAsync:50:214:later", "cudaErrorECCUncorrectable", kEnvironment);
}

// A release that fails costs a warning, not the run.
TEST_F(CallFaults, WhatGivesBackMayFail) {
  ASSERT_EQ(go_on("").code, 0);
  int functions = 0;
  for (const auto& [function, number] : calls()) {
    if (!gives_back(function)) continue;
    ++functions;
    const JobOutcome outcome = go_on("STRATA_CUDA_FAULT=" + function + ":1:719");
    EXPECT_EQ(outcome.code, 0) << function << "\n" << outcome.err;
    EXPECT_THAT(outcome.out + outcome.err, HasSubstr(function + ": unspecified launch failure"));
    EXPECT_EQ(losses("out").size(), 2u) << function;
    expect_nothing_held(function);
  }
  EXPECT_GE(functions, 5);
}

// A GPU out of order must not be taken for none: the run would go on slowly on the CPU.
TEST_F(CallFaults, AnAutomaticChoiceDoesNotOverlookABrokenGpu) {
  const JobOutcome broken = run(0, train("auto") + " run.device=auto run.steps=1",
                                "env STRATA_CUDA_FAULT=cudaGetDeviceCount:1:802");
  EXPECT_EQ(broken.code, kEnvironment);
  EXPECT_THAT(broken.err, HasSubstr("cudaGetDeviceCount"));
  const JobOutcome no_driver =
      run(0, train("auto") + " run.device=auto run.steps=1", "env STRATA_CUDA_FAULT=cudaGetDeviceCount:1:35");
  EXPECT_EQ(no_driver.code, 0) << no_driver.err;
  EXPECT_THAT(no_driver.out, HasSubstr("machine    CPU"));
}

// Energy is counted where it can be, and nothing else depends on it.
TEST_F(CallFaults, ALostEnergyCounterCostsItsFiguresAlone) {
  for (const std::string function : {"", "nvmlInit_v2", "nvmlShutdown", "nvmlDeviceGetHandleByPciBusId_v2",
                                     "nvmlDeviceGetTotalEnergyConsumption"}) {
    const JobOutcome outcome =
        go_on("LD_LIBRARY_PATH=" STRATA_NVML_FOLDER ":$LD_LIBRARY_PATH STRATA_NVML_FAULT=" + function);
    EXPECT_EQ(outcome.code, 0) << function << "\n" << outcome.err;
    EXPECT_EQ(losses("out").size(), 2u) << function;
    const bool counts = read("out/metrics.jsonl").find("joules") != std::string::npos;
    EXPECT_EQ(counts, function.empty() || function == "nvmlShutdown") << function;
  }
}

}  // namespace
}  // namespace strata
