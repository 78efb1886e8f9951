// SPDX-License-Identifier: Apache-2.0
// Whole runs with their state in memory of the host and on drives: the bits of a run that keeps it all where
// it computes, also across SIGKILL; memory as planned; what does not go is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "checkpoint/step_folders.h"
#include "checkpoint/strata_source.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "launch/train/process_memory.h"
#include "tests/launch/train/tiny_run.h"

namespace strata {
namespace {

using testing::HasSubstr;

const std::vector<std::string> all_on_nvme{"offload.weights=nvme", "offload.master=nvme",
                                           "offload.moments=nvme"};

class Offload : public TinyRun {
 protected:
  // Temporary folders may lie in memory or in a container's layer.
  LoadedConfig offloaded(const std::string& out, std::vector<std::string> overrides) const {
    overrides.emplace_back("offload.any_volume=true");
    return config(out, std::move(overrides));
  }

  std::map<std::string, std::string> tensors(const std::string& run, int64_t step) const {
    const auto files = make_posix_file_system();
    const StrataSource checkpoint(*files, step_folder((out(run) / "checkpoints").string(), step));
    std::map<std::string, std::string> sums;
    for (const ManifestTensor& tensor : checkpoint.manifest().tensors)
      sums[tensor.logical.name + "/" + tensor.logical.state] = to_string(tensor.digest);
    return sums;
  }

  // With two slots the drives alone give a killed run back, at any instant: nothing was saved.
  void go_on_after_kills(const std::string& timing, int most) {
    ASSERT_EQ(train(config("device", {"guard.spike=30"})), 0);
    auto overrides = all_on_nvme;
    overrides.push_back("offload.timing=" + timing);
    for (const char* more : {"offload.slots=2", "checkpoint.every=0", "guard.spike=30"})
      overrides.emplace_back(more);
    const LoadedConfig killed = offloaded("killed", overrides);
    int kills = 0, went_on = 0;
    for (int64_t wait_us = 60'000; kills < most; wait_us = 60'000 + wait_us * 7919 % 90'000) {
      int out_of_child[2];
      ASSERT_EQ(pipe(out_of_child), 0);
      const size_t before =
          std::filesystem::exists(out("killed") / "metrics.jsonl") ? losses("killed").size() : 0;
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        dup2(out_of_child[1], STDOUT_FILENO);
        train(killed);
        _exit(0);
      }
      close(out_of_child[1]);
      // Behind the first step of this start, and then at any instant.
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (std::chrono::steady_clock::now() < deadline && waitpid(child, nullptr, WNOHANG) == 0) {
        const bool begun = std::filesystem::exists(out("killed") / "metrics.jsonl");
        if (begun && losses("killed").size() > before) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      std::this_thread::sleep_for(std::chrono::microseconds(wait_us % 25'000));
      if (kill(child, SIGKILL) != 0) break;  // it came to its end
      waitpid(child, nullptr, 0);
      ++kills;
      std::string said;
      char buffer[4096];
      for (ssize_t n; (n = read(out_of_child[0], buffer, sizeof buffer)) > 0;)
        said.append(buffer, static_cast<size_t>(n));
      close(out_of_child[0]);
      went_on += said.find("the last one committed to the drives") != std::string::npos;
      EXPECT_TRUE(list_steps(*make_posix_file_system(), (out("killed") / "checkpoints").string()).empty());
    }
    EXPECT_GE(kills, most / 2);
    // A deferred update is committed in the step behind its own.
    EXPECT_GE(went_on, kills - (timing == "sync" ? 1 : 2)) << "every start but the first";
    ASSERT_EQ(train(killed), 0);
    EXPECT_EQ(losses("killed"), losses("device"));
    EXPECT_EQ(tensors("killed", 100), tensors("device", 100));
  }

  static std::string error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }
};

TEST_F(Offload, TheTierChangesNoBit) {
  ASSERT_EQ(train(config("device", {"run.steps=50"})), 0);
  const std::vector<std::vector<std::string>> choices{
      {"offload.moments=host", "offload.prefetch=1"},
      {"offload.master=host", "offload.moments=nvme", "offload.prefetch=3"},
      all_on_nvme,
      {"offload.gradients=nvme", "offload.moments=nvme"},
      {"offload.gradients=host", "offload.gradients_kept=0.5", "offload.prefetch=1",
       "parallel.recompute=full"},
      {"offload.weights=host", "offload.weights_kept=0.5", "offload.moments=nvme", "offload.moments_kept=0.5",
       "parallel.recompute=full"}};
  for (size_t i = 0; i < choices.size(); ++i) {
    auto overrides = choices[i];
    overrides.emplace_back("run.steps=50");
    const std::string name = "away" + std::to_string(i);
    ASSERT_EQ(train(offloaded(name, overrides)), 0);
    EXPECT_EQ(losses(name), losses("device")) << i;
    EXPECT_EQ(tensors(name, 50), tensors("device", 50)) << i;
  }
  // What is on the drive is counted to the byte.
  int64_t on_drive = 0;
  for (const auto& file : std::filesystem::directory_iterator(out("away2") / "offload"))
    on_drive += static_cast<int64_t>(file.file_size());
  const auto files = make_posix_file_system();
  const StepRecord last = read_metrics(*files, (out("away2") / "metrics.jsonl").string()).back();
  EXPECT_GT(on_drive, 0);
  EXPECT_EQ(last.memory.nvme.bytes, on_drive);
  EXPECT_TRUE(last.waits_ms.contains("disk_read"));
}

TEST_F(Offload, ActivationsAndGroupsChangeNoBit) {
  const auto with = [](std::vector<std::string> more) {
    for (const char* common : {"run.steps=30", "run.mode=ordered", "parallel.recompute=full"})
      more.emplace_back(common);
    return more;
  };
  ASSERT_EQ(train(config("device", with({}))), 0);
  ASSERT_EQ(train(offloaded("host", with({"offload.activations=host", "offload.group=2"}))), 0);
  ASSERT_EQ(train(offloaded("all", with({"offload.activations=nvme", "offload.group=0",
                                         "offload.weights=nvme", "offload.moments=nvme"}))),
            0);
  for (const char* away : {"host", "all"}) {
    EXPECT_EQ(losses(away), losses("device")) << away;
    EXPECT_EQ(tensors(away, 30), tensors("device", 30)) << away;
  }
}

// As codes they are rounded for the backward pass, alike wherever they are; drives hold what is planned.
TEST_F(Offload, ActivationsIn8BitsTrainAlikeOnEveryTier) {
  const auto with = [](std::vector<std::string> more) {
    for (const char* common : {"run.steps=20", "parallel.recompute=full", "offload.prefetch=0",
                               "model.ffn=96", "model.hidden=256", "model.heads=4", "eval.every=0"})
      more.emplace_back(common);
    return more;
  };
  const std::string fp8 = "offload.activations_format=fp8";
  ASSERT_EQ(train(offloaded("values", with({"offload.activations=nvme"}))), 0);
  ASSERT_EQ(train(offloaded("host", with({"offload.activations=host", fp8}))), 0);
  ASSERT_EQ(train(offloaded("again", with({"offload.activations=host", fp8}))), 0);
  ASSERT_EQ(train(offloaded("nvme", with({"offload.activations=nvme", fp8}))), 0);
  ASSERT_EQ(train(offloaded("most", with({"offload.activations=nvme", "offload.activations_kept=0.7", fp8}))),
            0);
  const std::vector<double> values = losses("values"), codes = losses("host");
  EXPECT_EQ(codes[0], values[0]);
  EXPECT_NE(codes, values);
  ASSERT_LT(values.back(), 0.8 * values[0]);
  for (size_t step = 0; step < values.size(); ++step)
    EXPECT_NEAR(codes[step], values[step], 0.02 * values[step]) << step;
  for (const char* other : {"again", "nvme", "most"}) {
    EXPECT_EQ(losses(other), codes) << other;
    EXPECT_EQ(tensors(other, 20), tensors("host", 20)) << other;
  }
  const auto on_drive = [&](const std::string& name) {
    int64_t bytes = 0;
    for (const auto& file : std::filesystem::directory_iterator(out(name) / "offload"))
      bytes += static_cast<int64_t>(file.file_size());
    const auto files = make_posix_file_system();
    EXPECT_EQ(read_metrics(*files, (out(name) / "metrics.jsonl").string()).back().memory.nvme.bytes, bytes);
    return bytes;
  };
  // Two layers of two micro-batches: 32 rows of 256 elements in whole pages. Of the three inputs, with the
  // head's, which never leaves, 0.7 is that and the first layer's.
  constexpr int64_t kValues = 4 * 4096, kCodes = 3 * 4096;
  EXPECT_EQ(on_drive("values") - on_drive("nvme"), 4 * (kValues - kCodes));
  EXPECT_EQ(on_drive("nvme") - on_drive("most"), 2 * kCodes);
}

// Updates that wait for the next step: saves and evaluations in between find what they would have found.
TEST_F(Offload, DeferredUpdatesChangeNoBit) {
  const auto with = [](std::vector<std::string> more) {
    for (const char* common : {"run.steps=30", "checkpoint.every=7", "eval.every=5"})
      more.emplace_back(common);
    return more;
  };
  ASSERT_EQ(train(config("sync", with({}))), 0);
  auto all = all_on_nvme;
  all.insert(all.end(), {"offload.gradients=host", "offload.slots=2", "offload.prefetch=2"});
  const std::vector<std::vector<std::string>> choices{{}, {"offload.moments=nvme"}, all};
  for (size_t i = 0; i < choices.size(); ++i) {
    auto overrides = with(choices[i]);
    overrides.emplace_back("offload.timing=deferred");
    const std::string name = "deferred" + std::to_string(i);
    ASSERT_EQ(train(offloaded(name, overrides)), 0);
    EXPECT_EQ(losses(name), losses("sync")) << i;
    for (const int64_t step : {21, 28, 30})
      EXPECT_EQ(tensors(name, step), tensors("sync", step)) << i << " " << step;
  }
  // And a run goes on with the other timing.
  ASSERT_EQ(train(offloaded("both", with({"schedule.type=constant", "run.steps=10"}))), 0);
  ASSERT_EQ(train(config("one", with({"schedule.type=constant"}))), 0);
  ASSERT_EQ(train(offloaded("both", with({"schedule.type=constant", "offload.timing=deferred"}))), 0);
  EXPECT_EQ(losses("both"), losses("one"));
}

// A checkpoint of one choice goes on under another.
TEST_F(Offload, ARunGoesOnWithItsStateElsewhere) {
  ASSERT_EQ(train(config("device", {"schedule.type=constant", "run.steps=50"})), 0);
  ASSERT_EQ(train(config("moved", {"schedule.type=constant", "run.steps=20"})), 0);
  ASSERT_EQ(train(offloaded("moved", {"schedule.type=constant", "run.steps=40", "offload.weights=nvme",
                                      "offload.master=nvme", "offload.moments=nvme"})),
            0);
  ASSERT_EQ(train(offloaded("moved", {"schedule.type=constant", "run.steps=50", "offload.master=host"})), 0);
  EXPECT_EQ(losses("moved"), losses("device"));
  EXPECT_EQ(tensors("moved", 50), tensors("device", 50));
}

TEST_F(Offload, AKilledRunGoesOn) {
  ASSERT_EQ(train(config("device", {"checkpoint.every=10"})), 0);
  auto overrides = all_on_nvme;
  overrides.emplace_back("checkpoint.every=10");
  const LoadedConfig killed = offloaded("killed", overrides);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    static_cast<void>(freopen("/dev/null", "w", stdout));
    train(killed);
    _exit(0);
  }
  const auto saved = out("killed") / "checkpoints/step-00000020/manifest.json";
  while (!std::filesystem::exists(saved) && waitpid(child, nullptr, WNOHANG) == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_EQ(kill(child, SIGKILL), 0) << "it ended before it was killed";
  waitpid(child, nullptr, 0);
  ASSERT_LT(losses("killed").size(), 100U);
  ASSERT_EQ(train(killed), 0);
  EXPECT_EQ(losses("killed"), losses("device"));
  EXPECT_EQ(tensors("killed", 100), tensors("device", 100));
}

TEST_F(Offload, AKilledRunGoesOnFromItsLastStepOnDrives) { go_on_after_kills("sync", 12); }
TEST_F(Offload, AKilledRunGoesOnFromItsLastCommittedUpdate) { go_on_after_kills("deferred", 8); }

// Resident memory of a run in a process of its own, at most, steps, a save and all; and the arenas that it
// said it planned: what goes on at once, and so the plan, depends on how fast it finds the drive to be.
struct Peak {
  int64_t resident = 0;
  double planned = 0;
};

Peak peak_of(const LoadedConfig& loaded, const std::filesystem::path& said) {
  Peak peak;
  int channel[2];
  check(pipe(channel) == 0, "[offload test] no pipe");
  const pid_t child = fork();
  if (child == 0) {
    static_cast<void>(freopen(said.c_str(), "w", stdout));
    const bool done = train(loaded) == 0;
    const int64_t most = done ? process_memory().peak_bytes : 0;
    const bool told = write(channel[1], &most, sizeof most) == sizeof most;
    std::fflush(stdout);
    _exit(told ? 0 : 1);
  }
  waitpid(child, nullptr, 0);
  check(read(channel[0], &peak.resident, sizeof peak.resident) == sizeof peak.resident,
        "[offload test] no word");
  close(channel[0]), close(channel[1]);
  std::ifstream lines(said);
  for (std::string line; std::getline(lines, line);) {  // "device: arena 288.7 MiB, live at most ..."
    double mib = 0;
    if (std::sscanf(line.c_str(), "device: arena %lf MiB", &mib) == 1 ||
        std::sscanf(line.c_str(), "host: arena %lf MiB", &mib) == 1)
      peak.planned += mib * (1 << 20);
  }
  check(peak.planned > 0, "[offload test] no plan was printed");
  return peak;
}

// All of a model's state on the drive: a step takes what was planned, beyond what any process does, and a
// save or a restore a fixed amount more, however large the model.
TEST_F(Offload, MemoryIsWhatWasPlanned) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep memory of their own";
#endif
  struct Measured {
    Peak peak;
    int64_t of_steps = 0;
  };
  const auto run = [&](const std::string& name, const std::string& hidden, const std::string& layers,
                       const std::string& steps) {
    auto overrides = all_on_nvme;
    for (const char* more : {"offload.gradients=nvme", "offload.activations=nvme", "offload.prefetch=1",
                             "parallel.recompute=full", "model.heads=8", "run.threads=1",
                             "schedule.type=constant", "schedule.warmup=0"})
      overrides.emplace_back(more);
    overrides.push_back("model.hidden=" + hidden);
    overrides.push_back("model.ffn=" + std::to_string(3 * std::stoi(hidden)));
    overrides.push_back("model.layers=" + layers);
    overrides.push_back("run.steps=" + steps);
    const Peak peak = peak_of(offloaded(name, overrides), out(name + ".log"));
    const auto files = make_posix_file_system();
    return Measured{peak,
                    read_metrics(*files, (out(name) / "metrics.jsonl").string()).back().memory.host.bytes};
  };
  constexpr double kMiB = 1 << 20;
  const Measured base = run("base", "64", "2", "2");
  for (const char* steps : {"2", "3"}) {  // the second goes on from the first one's checkpoint
    const Measured large = run("large", "1024", "6", steps);
    const double planned = (large.peak.planned - base.peak.planned) / kMiB;
    const auto taken = static_cast<double>(large.of_steps - base.of_steps) / kMiB;
    const auto most = static_cast<double>(large.peak.resident - base.peak.resident) / kMiB;
    std::printf("MiB beyond a small run: planned %.1f, steps %.1f, with start and save %.1f\n", planned,
                taken, most);
    // The small run's C library may hold some tens of MiB that the large one's does not: on a busy machine
    // less is taken. What a restore read into, a piece of 32 MiB, may stay with the large one's.
    const double kept = steps == std::string("3") ? 32 : 0;
    EXPECT_LE(taken, 1.03 * planned + kept) << steps;
    EXPECT_GE(taken, 0.85 * planned) << steps;
    EXPECT_LE(most, planned + 128) << steps;  // the state is 650 MiB
  }
}

TEST_F(Offload, WhatDoesNotGoIsSaid) {
  EXPECT_THAT(error_of([&] {
                train(offloaded("a", {"offload.moments=host", "log.record=r.bin"}));
              }),
              HasSubstr("a record of every action needs the state where it can be read"));
  EXPECT_THAT(error_of([&] { train(offloaded("b", {"offload.device_limit=many"})); }),
              HasSubstr("this is not an amount of memory"));
  EXPECT_THAT(error_of([&] {
                train(offloaded("c", {"offload.moments=nvme", "offload.device_limit=64KiB"}));
              }),
              HasSubstr("the step does not fit into memory"));
  EXPECT_THAT(error_of([&] {
                train(offloaded("d", {"offload.master=host", "offload.host_limit=4KiB"}));
              }),
              HasSubstr("tier host has 4096 bytes"));
  EXPECT_THAT(error_of([&] {
                train(offloaded("g", {"offload.master=host", "offload.host_limit=4KiB"}));
              }),
              HasSubstr("raise offload.host_limit to 1 MiB, the smallest that works as configured; or, the "
                        "fastest first: "));
  EXPECT_THAT(error_of([&] {
                train(offloaded("i", {"offload.moments=nvme", "offload.slots=2"}));
              }),
              HasSubstr("drives give back a run only when they have all of its state"));
  // Half a terabyte, before any of it is asked for.
  EXPECT_THAT(error_of([&] {
                train(offloaded("h", {"model.layers=160", "model.hidden=8192", "model.heads=64",
                                      "model.ffn=28672", "offload.master=host", "offload.moments=host"}));
              }),
              testing::AllOf(HasSubstr("the plan does not fit in host memory"),
                             HasSubstr("available, the smallest that works as configured")));
  EXPECT_THAT(error_of([&] {
                train(offloaded("f", {"offload.group=2", "parallel.virtual_stages=2"}));
              }),
              HasSubstr("a pipeline has an order of its own"));
}

}  // namespace
}  // namespace strata
