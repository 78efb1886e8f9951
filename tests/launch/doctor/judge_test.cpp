// SPDX-License-Identifier: Apache-2.0
// Every property that costs something gets its own verdict, with the fix; a good machine gets none.
#include "launch/doctor/judge.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace strata::doctor {
namespace {

using testing::HasSubstr;

constexpr int64_t kGiB = int64_t{1} << 30;

CpuFacts good_cpu() {
  return {.model = "a CPU", .cores = 8, .machine_cores = 8, .numa_nodes = 1, .isa = Isa::avx512};
}
MemoryFacts good_memory() {
  return {.total_bytes = 64 * kGiB,
          .available_bytes = 60 * kGiB,
          .open_files_limit = 65536,
          .huge_pages = "madvise",
          .shared_bytes = 32 * kGiB};
}
StorageFacts good_storage() {
  return {.path = "runs",
          .volume = Volume{"xfs", 1000 * kGiB, 500 * kGiB},
          .direct = true,
          .engine = "io_uring",
          .write_gb_per_s = 2,
          .read_gb_per_s = 3,
          .mixed_gb_per_s = 1.5};
}
JobFacts good_job() {
  return {.mpi = "Open MPI v4.1.4",
          .slurm = true,
          .slurm_mpi = {"pmi2", "pmix_v4"},
          .ranks = 2,
          .hosts = {"a", "b"},
          .builds = {"one", "one"},
          .most_clock_skew_s = 0.1};
}
GpuFacts good_gpus() {
  return {.built_in = true,
          .driver_cuda_version = 13010,
          .needed_cuda_version = 13000,
          .gpus = {{"H100", 80 * kGiB, 9, 0}}};
}

// The one finding that does not pass.
template <typename Facts>
Finding complaint(const Facts& facts) {
  Finding found;
  int complaints = 0;
  for (const Finding& finding : judge(facts)) {
    if (finding.verdict == Verdict::pass) continue;
    found = finding;
    ++complaints;
    EXPECT_FALSE(finding.cost.empty()) << finding.name;
    EXPECT_FALSE(finding.fix.empty()) << finding.name;
  }
  EXPECT_EQ(complaints, 1);
  return found;
}

void expect_complaint(const Finding& finding, std::string_view name, Verdict verdict) {
  EXPECT_EQ(finding.name, name);
  EXPECT_EQ(finding.verdict, verdict) << finding.found;
}

TEST(JudgeTest, AGoodMachinePasses) {
  for (const Findings& findings : {judge(good_cpu()), judge(good_memory()), judge(good_storage()),
                                   judge(good_job()), judge(good_gpus())})
    for (const Finding& finding : findings)
      EXPECT_EQ(finding.verdict, Verdict::pass) << finding.name << ": " << finding.found;
}

TEST(JudgeTest, Cpu) {
  CpuFacts quota = good_cpu();
  quota.quota_cores = 2.5;
  expect_complaint(complaint(quota), "cores", Verdict::warn);
  EXPECT_THAT(complaint(quota).fix, HasSubstr("run.threads=2"));
  CpuFacts enough = good_cpu();
  enough.quota_cores = 8;
  EXPECT_EQ(judge(enough)[1].verdict, Verdict::pass);
  CpuFacts old = good_cpu();
  old.isa = Isa::portable;
  expect_complaint(complaint(old), "instruction set", Verdict::warn);
  CpuFacts sockets = good_cpu();
  sockets.numa_nodes = 2;
  expect_complaint(complaint(sockets), "memory nodes", Verdict::warn);
}

TEST(JudgeTest, Memory) {
  MemoryFacts locked = good_memory();
  locked.locked_limit_bytes = 8 << 20;
  expect_complaint(complaint(locked), "locked memory", Verdict::warn);
  MemoryFacts group = good_memory();
  group.group_limit_bytes = kGiB;
  expect_complaint(complaint(group), "memory", Verdict::warn);
  MemoryFacts files = good_memory();
  files.open_files_limit = 256;
  expect_complaint(complaint(files), "open files", Verdict::warn);
  MemoryFacts pages = good_memory();
  pages.huge_pages = "never";
  expect_complaint(complaint(pages), "huge pages", Verdict::warn);
  MemoryFacts small = good_memory();
  small.shared_bytes = 64 << 20;  // docker's default
  expect_complaint(complaint(small), "shared memory", Verdict::warn);
  MemoryFacts none = good_memory();
  none.shared_bytes = std::nullopt;
  expect_complaint(complaint(none), "shared memory", Verdict::fail);
}

// What the tier on drives would use, and how long 1B parameters take on it: 18 bytes each at 1.5 GB/s.
TEST(JudgeTest, StreamedState) {
  const auto found = [](const StorageFacts& facts) {
    for (const Finding& finding : judge(facts))
      if (finding.name == "streamed state") return finding.found;
    return std::string("nothing");
  };
  EXPECT_THAT(found(good_storage()),
              testing::AllOf(HasSubstr("by io_uring, past the page cache"), HasSubstr("1.50 GB/s"),
                             HasSubstr("12 s a step for 1B parameters")));
  StorageFacts network = good_storage();
  network.volume->type = "nfs";
  EXPECT_EQ(found(network), "not from here: nfs is not a local drive");
  StorageFacts full = good_storage();
  full.mixed_gb_per_s = 0;
  EXPECT_EQ(found(full), "nothing");
}

TEST(JudgeTest, Storage) {
  StorageFacts missing{.path = "nowhere", .error = "No such file or directory"};
  expect_complaint(complaint(missing), "folder", Verdict::fail);
  StorageFacts full = good_storage();
  full.volume->free_bytes = kGiB / 2;
  expect_complaint(complaint(full), "space", Verdict::fail);
  full.volume->free_bytes = 20 * kGiB;
  expect_complaint(complaint(full), "space", Verdict::warn);
  StorageFacts memory = good_storage();
  memory.volume->type = "tmpfs";
  expect_complaint(complaint(memory), "file system", Verdict::warn);
  StorageFacts cached = good_storage();
  cached.direct = false;
  expect_complaint(complaint(cached), "direct I/O", Verdict::warn);
  StorageFacts threads = good_storage();
  threads.engine_note = "io_uring_setup: Operation not permitted";
  expect_complaint(complaint(threads), "asynchronous I/O", Verdict::warn);
  StorageFacts slow = good_storage();
  slow.write_gb_per_s = 0.05;
  expect_complaint(complaint(slow), "speed", Verdict::warn);
}

TEST(JudgeTest, Jobs) {
  JobFacts without = good_job();
  without.mpi = "";
  expect_complaint(complaint(without), "MPI", Verdict::warn);
  JobFacts plugins = good_job();
  plugins.slurm_mpi = {"pmi2"};
  expect_complaint(complaint(plugins), "Slurm", Verdict::warn);
  JobFacts builds = good_job();
  builds.builds = {"one", "two"};
  expect_complaint(complaint(builds), "build", Verdict::fail);
  EXPECT_THAT(complaint(builds).found, HasSubstr("1 on b"));
  JobFacts clocks = good_job();
  clocks.most_clock_skew_s = 5;
  expect_complaint(complaint(clocks), "clocks", Verdict::warn);
}

TEST(JudgeTest, Gpus) {
  EXPECT_EQ(judge(GpuFacts{.driver_error = "libcuda.so.1 is not installed"})[0].verdict, Verdict::pass);
  GpuFacts unused = good_gpus();
  unused.built_in = false;
  expect_complaint(complaint(unused), "CUDA device", Verdict::warn);
  GpuFacts no_driver{.built_in = true, .driver_error = "libcuda.so.1 is not installed"};
  expect_complaint(complaint(no_driver), "driver", Verdict::fail);
  GpuFacts old_driver = good_gpus();
  old_driver.driver_cuda_version = 12080;
  expect_complaint(complaint(old_driver), "driver", Verdict::fail);
  GpuFacts old_gpu = good_gpus();
  old_gpu.gpus[0] = {"V100", 16 * kGiB, 7, 0};
  expect_complaint(complaint(old_gpu), "GPU 0", Verdict::warn);
}

// Two GPUs in good slots, joined by NVLinks.
GpuFacts linked_gpus() {
  GpuFacts facts = good_gpus();
  facts.gpus.push_back(facts.gpus[0]);
  const GpuSlot slot{.bus_id = "0000:1b:00.0", .pcie_generation = 5, .pcie_width = 16, .pcie_most_width = 16};
  const GpuLink link{.direct = true, .nvlinks = 18, .bytes_per_s = 450e9};
  facts.topology = {.slots = {slot, slot}, .links = {{}, link, link, {}}};
  return facts;
}

TEST(JudgeTest, ConnectionsOfGpus) {
  const std::string text = to_string(judge(linked_gpus()));
  EXPECT_THAT(text, HasSubstr("PCIe 5.0 x16, 63 GB/s each way"));
  EXPECT_THAT(text, HasSubstr("18 NVLinks between any two, at least 450 GB/s each way"));
  GpuFacts narrow = linked_gpus();
  narrow.topology.slots[1].pcie_width = 4;
  expect_complaint(complaint(narrow), "slot of GPU 1", Verdict::warn);
  EXPECT_THAT(complaint(narrow).found, HasSubstr("PCIe 5.0 x4 of x16, 15.8 GB/s"));
  GpuFacts apart = linked_gpus();
  for (GpuLink& link : apart.topology.links) link = {.bytes_per_s = 63e9};
  expect_complaint(complaint(apart), "links between GPUs", Verdict::warn);
  EXPECT_THAT(complaint(apart).found,
              HasSubstr("PCIe, at least 63 GB/s each way; out of reach of each other: 0-1"));
  // A library that does not tell is no reason to complain.
  GpuFacts unknown = linked_gpus();
  for (GpuSlot& slot : unknown.topology.slots) slot = {.bus_id = slot.bus_id};
  for (GpuLink& link : unknown.topology.links) link = {.direct = true};
  for (const Finding& finding : judge(unknown)) EXPECT_EQ(finding.verdict, Verdict::pass) << finding.name;
}

TEST(JudgeTest, TextAndJsonSayTheSame) {
  StorageFacts full = good_storage();
  full.volume->free_bytes = kGiB / 2;
  const Findings findings = judge(full);
  EXPECT_FALSE(healthy(findings));
  EXPECT_THAT(to_string(findings), HasSubstr("fail  space"));
  EXPECT_THAT(to_string(findings), HasSubstr("6 checks: 5 pass, 0 warn, 1 fail"));
  const auto json = nlohmann::json::parse(to_json(findings));
  EXPECT_EQ(json["healthy"], false);
  ASSERT_EQ(json["findings"].size(), findings.size());
  EXPECT_EQ(json["findings"][0]["verdict"], "fail");
  EXPECT_EQ(json["findings"][0]["fix"], findings[0].fix);
}

}  // namespace
}  // namespace strata::doctor
