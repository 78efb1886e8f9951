// SPDX-License-Identifier: Apache-2.0
#include "launch/doctor/judge.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "offload/roofline.h"
#include "offload/store_files.h"

namespace strata::doctor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20, kGiB = int64_t{1} << 30;

std::string size(int64_t bytes) {
  if (bytes == kNoLimit) return "unlimited";
  return bytes >= 10 * kGiB ? fmt::format("{} GiB", bytes / kGiB) : fmt::format("{} MiB", bytes / kMiB);
}

// Findings of one area.
class List {
 public:
  explicit List(std::string area) : area_(std::move(area)) {}
  void pass(std::string name, std::string found) {
    add(Verdict::pass, std::move(name), std::move(found), "", "");
  }
  void warn(std::string name, std::string found, std::string cost, std::string fix) {
    add(Verdict::warn, std::move(name), std::move(found), std::move(cost), std::move(fix));
  }
  void fail(std::string name, std::string found, std::string cost, std::string fix) {
    add(Verdict::fail, std::move(name), std::move(found), std::move(cost), std::move(fix));
  }
  Findings take() { return std::move(findings_); }

 private:
  void add(Verdict verdict, std::string name, std::string found, std::string cost, std::string fix) {
    findings_.push_back({area_, std::move(name), verdict, std::move(found), std::move(cost), std::move(fix)});
  }
  std::string area_;
  Findings findings_;
};

// Read and written for each parameter.
double split_bytes_per_step() {
  for (const StreamBytes& format : stream_formats())
    if (format.name == "split") return format.drive_read + format.drive_write;
  return 0;
}

// "12.3 GB/s", of one direction.
std::string rate(double bytes_per_s) { return fmt::format("{:.3g} GB/s each way", bytes_per_s * 1e-9); }

void judge_slots(const GpuTopology& topology, List& list) {
  for (size_t i = 0; i < topology.slots.size(); ++i) {
    const GpuSlot& slot = topology.slots[i];
    if (slot.bytes_per_s() <= 0) continue;  // no driver tells
    const std::string name = fmt::format("slot of GPU {}", i);
    const bool narrow = slot.pcie_width < slot.pcie_most_width;
    const std::string found =
        fmt::format("PCIe {}.0 x{}{}, {}", slot.pcie_generation, slot.pcie_width,
                    narrow ? fmt::format(" of x{}", slot.pcie_most_width) : "", rate(slot.bytes_per_s()));
    if (narrow)
      list.warn(name, found, "state that is streamed from memory or drives takes as much longer",
                "seat the card again, or see the slot's bifurcation in the BIOS: nvidia-smi -q -d PCIE");
    else
      list.pass(name, found);
  }
}

void judge_links(const GpuTopology& topology, List& list) {
  const int gpus = static_cast<int>(topology.slots.size());
  if (gpus < 2) return;
  std::vector<std::string> apart;
  int fewest = topology.link(0, 1).nvlinks, most = 0;
  double slowest = topology.link(0, 1).bytes_per_s;
  for (int a = 0; a < gpus; ++a)
    for (int b = 0; b < gpus; ++b) {
      if (a == b) continue;
      const GpuLink& link = topology.link(a, b);
      fewest = std::min(fewest, link.nvlinks), most = std::max(most, link.nvlinks);
      slowest = std::min(slowest, link.bytes_per_s);
      if (a < b && !(link.direct && topology.link(b, a).direct)) apart.push_back(fmt::format("{}-{}", a, b));
    }
  const std::string kind = most == 0        ? std::string("PCIe")
                           : fewest == most ? fmt::format("{} NVLinks between any two", most)
                                            : fmt::format("{} to {} NVLinks between two", fewest, most);
  const std::string found = slowest > 0 ? fmt::format("{}, at least {}", kind, rate(slowest)) : kind;
  if (apart.empty())
    list.pass("links between GPUs", found);
  else
    list.warn("links between GPUs",
              fmt::format("{}; out of reach of each other: {}", found, fmt::join(apart, " ")),
              "what they exchange goes through the host's memory, at a fraction of the speed",
              "turn off PCIe access control (ACS) and the IOMMU's translation; see nvidia-smi topo -p2p r");
}

}  // namespace

Findings judge(const CpuFacts& facts) {
  List list("cpu");
  list.pass("model", facts.model.empty() ? "not known" : facts.model);
  const std::string cores = facts.cores == facts.machine_cores
                                ? fmt::format("{}", facts.cores)
                                : fmt::format("{} of {}", facts.cores, facts.machine_cores);
  if (facts.quota_cores > 0 && facts.quota_cores + 0.01 < facts.cores)
    list.warn("cores", fmt::format("{}, of which the control group grants {:.1f}", cores, facts.quota_cores),
              "threads are stopped in the middle of a step when the quota is used up",
              fmt::format("run.threads={}, or raise the quota (cpu.max, docker --cpus)",
                          std::max(1, static_cast<int>(facts.quota_cores))));
  else
    list.pass("cores", cores);
  if (facts.isa < Isa::avx2)
    list.warn("instruction set", std::string(name(facts.isa)),
              "training on this CPU is many times slower than with AVX2",
              "use a machine with AVX2 or AVX-512 (in a virtual machine: pass the host's CPU model through)");
  else
    list.pass("instruction set", std::string(name(facts.isa)));
  if (facts.numa_nodes > 1)
    list.warn("memory nodes", fmt::format("{}", facts.numa_nodes),
              "one process that spans them waits for far memory",
              fmt::format("mpirun --map-by ppr:{}:node --bind-to numa: a rank for each", facts.numa_nodes));
  else
    list.pass("memory nodes", "1");
  return list.take();
}

Findings judge(const MemoryFacts& facts) {
  List list("memory");
  const bool limited = facts.group_limit_bytes != kNoLimit && facts.group_limit_bytes < facts.total_bytes;
  const std::string memory =
      fmt::format("{}, {} available", size(facts.total_bytes), size(facts.available_bytes));
  if (limited && facts.group_limit_bytes < 2 * kGiB)
    list.warn("memory", fmt::format("{}; the control group grants {}", memory, size(facts.group_limit_bytes)),
              "a process over the limit is killed without a word",
              "raise it (memory.max, docker --memory, Slurm --mem)");
  else if (limited)
    list.pass("memory",
              fmt::format("{}; the control group grants {}", memory, size(facts.group_limit_bytes)));
  else
    list.pass("memory", memory);
  constexpr int64_t kLocked = 64 * kMiB;
  if (facts.locked_limit_bytes != kNoLimit && facts.locked_limit_bytes < kLocked)
    list.warn("locked memory", size(facts.locked_limit_bytes),
              "buffers cannot be registered with io_uring or pinned for a GPU: more CPU time for each byte "
              "that is moved",
              "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity; docker: --ulimit memlock=-1)");
  else
    list.pass("locked memory", size(facts.locked_limit_bytes));
  if (facts.open_files_limit != kNoLimit && facts.open_files_limit < 1024)
    list.warn("open files", fmt::format("{}", facts.open_files_limit),
              "jobs of many ranks and checkpoints of many files run out", "ulimit -n 65536");
  else
    list.pass("open files",
              facts.open_files_limit == kNoLimit ? "unlimited" : fmt::format("{}", facts.open_files_limit));
  if (facts.huge_pages == "never")
    list.warn("huge pages", facts.huge_pages, "some percent of a step go to page tables",
              "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  else
    list.pass("huge pages", facts.huge_pages.empty() ? "not known" : facts.huge_pages);
  constexpr int64_t kShared = 256 * kMiB;
  if (!facts.shared_bytes)
    list.fail("shared memory", "/dev/shm is not there", "ranks on one machine cannot talk through memory",
              "mount -t tmpfs tmpfs /dev/shm");
  else if (*facts.shared_bytes < kShared)
    list.warn("shared memory", fmt::format("{} free in /dev/shm", size(*facts.shared_bytes)),
              "MPI and NCCL fail or fall back to sockets between ranks of this machine",
              "docker --shm-size=1g, or --ipc=host");
  else
    list.pass("shared memory", fmt::format("{} free in /dev/shm", size(*facts.shared_bytes)));
  return list.take();
}

Findings judge(const StorageFacts& facts) {
  List list("storage " + facts.path);
  if (!facts.error.empty()) {
    list.fail("folder", facts.error, "runs and checkpoints cannot be kept here",
              "name a folder that exists and can be written: strata doctor --path FOLDER");
    return list.take();
  }
  const std::string space =
      fmt::format("{} of {} free", size(facts.volume->free_bytes), size(facts.volume->total_bytes));
  if (facts.volume->free_bytes < kGiB)
    list.fail("space", space, "the first checkpoint of any real model does not fit",
              "free some, or use --path on another disk");
  else if (facts.volume->free_bytes < facts.volume->total_bytes / 20)
    list.warn("space", space, "disks that are almost full are slow, and checkpoints need room for two",
              "free some");
  else
    list.pass("space", space);
  const std::set<std::string> volatile_kinds = {"tmpfs", "ramfs", "overlay"};
  if (volatile_kinds.contains(facts.volume->type))
    list.warn("file system", facts.volume->type,
              facts.volume->type == "overlay"
                  ? "what is written here goes with the container"
                  : "what is written here is memory, and goes when the machine does",
              "keep runs on a disk: run.out, or docker --volume");
  else
    list.pass("file system", facts.volume->type);
  if (facts.direct)
    list.pass("direct I/O", "O_DIRECT works");
  else
    list.warn("direct I/O", "this file system has no O_DIRECT",
              "state on this disk goes through the page cache: more CPU and memory",
              "for training state use ext4 or xfs on a local drive; checkpoints are fine here");
  if (facts.engine_note.empty())
    list.pass("asynchronous I/O", facts.engine);
  else
    list.warn(
        "asynchronous I/O", fmt::format("{}: {}", facts.engine, facts.engine_note),
        "more CPU time for each byte",
        "allow io_uring (sysctl kernel.io_uring_disabled=0; docker: a seccomp profile that lets it through)");
  const std::string speed =
      fmt::format("{:.2f} GB/s written with fsync, {:.2f} GB/s read{}", facts.write_gb_per_s,
                  facts.read_gb_per_s, facts.direct ? "" : " (from the cache)");
  if (facts.write_gb_per_s > 0 && facts.write_gb_per_s < 0.1)
    list.warn("speed", speed, "a checkpoint of a 1B-parameter model takes minutes", "use a local drive");
  else
    list.pass("speed", speed);
  if (const std::string refusal = why_refused(facts.volume->type); !refusal.empty())
    list.pass("streamed state", fmt::format("not from here: {}", refusal));
  else if (facts.mixed_gb_per_s > 0)
    list.pass("streamed state",
              fmt::format("tiles by {}, {}; {:.2f} GB/s of reads and writes together: {:.3g} s a step for "
                          "1B parameters in state format split",
                          facts.engine, facts.direct ? "past the page cache" : "through the page cache",
                          facts.mixed_gb_per_s, split_bytes_per_step() / facts.mixed_gb_per_s));
  return list.take();
}

Findings judge(const JobFacts& facts) {
  List list("jobs");
  if (facts.mpi.empty())
    list.warn("MPI", "this program was built without it",
              "one process only: no parallel training on several ranks",
              "apt-get install libopenmpi-dev openmpi-bin, and build again");
  else
    list.pass("MPI", facts.mpi);
  if (facts.slurm) {
    const bool pmix =
        std::ranges::any_of(facts.slurm_mpi, [](const std::string& p) { return p.starts_with("pmix"); });
    if (pmix)
      list.pass("Slurm", fmt::format("srun, MPI plugins {}", fmt::join(facts.slurm_mpi, ", ")));
    else
      list.warn("Slurm",
                facts.slurm_mpi.empty()
                    ? "srun, no MPI plugin found"
                    : fmt::format("srun, MPI plugins {}", fmt::join(facts.slurm_mpi, ", ")),
                "srun starts every task as a job of its own",
                "use mpirun inside the allocation, or install Slurm's PMIx plugin");
  }
  if (facts.ranks == 1) return list.take();
  std::set<std::string> hosts(facts.hosts.begin(), facts.hosts.end());
  list.pass("ranks",
            fmt::format("{} on {} {}", facts.ranks, hosts.size(), hosts.size() == 1 ? "host" : "hosts"));
  std::vector<std::string> others;
  for (size_t r = 0; r < facts.builds.size(); ++r)
    if (facts.builds[r] != facts.builds[0]) others.push_back(fmt::format("{} on {}", r, facts.hosts[r]));
  if (others.empty())
    list.pass("build", fmt::format("the same on all: {}", facts.builds[0]));
  else
    list.fail("build",
              fmt::format("{} on rank 0, another on rank{} {}", facts.builds[0], others.size() > 1 ? "s" : "",
                          fmt::join(others, ", ")),
              "a job of different programs is refused", "install the same build on every host");
  if (hosts.size() > 1) {
    const std::string skew = fmt::format("{:.1f} s between hosts", facts.most_clock_skew_s);
    if (facts.most_clock_skew_s > 2)
      list.warn("clocks", skew, "times in logs and file dates cannot be compared",
                "run chrony or ntpd on every host");
    else
      list.pass("clocks", skew);
  }
  return list.take();
}

Findings judge(const GpuFacts& facts) {
  List list("gpu");
  const bool driver = facts.driver_error.empty();
  if (!facts.built_in && (!driver || facts.gpus.empty())) {
    list.pass("GPU", "none, and none needed: this program trains on the CPU");
    return list.take();
  }
  for (size_t i = 0; i < facts.gpus.size(); ++i) {
    const GpuFacts::Gpu& gpu = facts.gpus[i];
    const std::string found =
        fmt::format("{}, {}, compute capability {}.{}", gpu.name, size(gpu.bytes), gpu.major, gpu.minor);
    if (gpu.major < 8)
      list.warn(fmt::format("GPU {}", i), found, "this GPU is not used",
                "Strata needs compute capability 8.0 (Ampere) or newer");
    else
      list.pass(fmt::format("GPU {}", i), found);
  }
  judge_slots(facts.topology, list);
  judge_links(facts.topology, list);
  if (!facts.built_in) {
    list.warn("CUDA device", "this program was built without it", "the GPU is not used",
              "cmake --preset cuda && cmake --build build/cuda");
    return list.take();
  }
  if (!driver) {
    list.fail("driver", facts.driver_error, "run.device = \"cuda\" does not start",
              "install NVIDIA's driver, or use run.device = \"cpu\"");
    return list.take();
  }
  const auto version = [](int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); };
  const std::string driver_version =
      fmt::format("runs CUDA {}, this program needs {}", version(facts.driver_cuda_version),
                  version(facts.needed_cuda_version));
  // Within one major version a newer toolkit runs on an older driver.
  if (facts.driver_cuda_version / 1000 < facts.needed_cuda_version / 1000)
    list.fail("driver", driver_version, "run.device = \"cuda\" does not start",
              "install a newer NVIDIA driver");
  else
    list.pass("driver", driver_version);
  return list.take();
}

}  // namespace strata::doctor
