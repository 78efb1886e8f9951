// SPDX-License-Identifier: Apache-2.0
// What `strata doctor` looks at, as plain data: collected by the functions below, judged elsewhere (judge.h),
// so that every verdict can be tested without the machine that deserves it. Nothing here throws: what cannot
// be read is absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/isa.h"
#include "core/device/gpu_topology.h"
#include "core/io/file_system.h"

namespace strata::doctor {

inline constexpr int64_t kNoLimit = -1;

struct CpuFacts {
  std::string model;  // empty when the kernel does not say
  int cores = 0;      // this process may use
  int machine_cores = 0;
  double quota_cores = 0;  // of the control group; 0: none
  int numa_nodes = 0;
  Isa isa = Isa::portable;
};

struct MemoryFacts {
  int64_t total_bytes = 0, available_bytes = 0;
  int64_t group_limit_bytes = kNoLimit;  // of the control group
  int64_t locked_limit_bytes = kNoLimit;
  int64_t open_files_limit = kNoLimit;
  std::string huge_pages;               // "always", "madvise", "never"; empty: not known
  std::optional<int64_t> shared_bytes;  // free in /dev/shm; absent when it is not there
};

struct StorageFacts {
  std::string path;
  std::string error;  // why the folder cannot be used; the rest is then not known
  std::optional<Volume> volume;
  bool direct = false;        // files take O_DIRECT
  std::string engine;         // of asynchronous I/O: "io_uring", "threads"
  std::string engine_note;    // why not a better one
  double write_gb_per_s = 0;  // 128 MiB written with fsync, then read past the cache where that is possible
  double read_gb_per_s = 0;
  double mixed_gb_per_s = 0;  // half read, half written at once: what streamed state does
};

struct JobFacts {
  std::string mpi;                     // "Open MPI v4.1.4"; empty: built without
  bool slurm = false;                  // srun is in PATH
  std::vector<std::string> slurm_mpi;  // plugins that srun can start MPI with: "pmix_v4", "pmi2"
  int ranks = 1;
  std::vector<std::string> hosts;   // of the ranks
  std::vector<std::string> builds;  // of the ranks
  double most_clock_skew_s = 0;     // between hosts
};

struct GpuFacts {
  bool built_in = false;        // this program has the CUDA device
  std::string driver_error;     // why there is none; empty: loaded
  int driver_cuda_version = 0;  // 13000: the newest CUDA the driver can run
  int needed_cuda_version = 0;  // of the build; 0 when not built in
  struct Gpu {
    std::string name;
    int64_t bytes = 0;
    int major = 0, minor = 0;  // compute capability
  };
  std::vector<Gpu> gpus;
  GpuTopology topology;  // of the same GPUs; empty when not built in
};

CpuFacts look_at_cpu();
MemoryFacts look_at_memory();
// Writes and removes one file in `path`, which must be a folder that can be written. Takes at most some
// seconds.
StorageFacts look_at_storage(FileSystem& files, const std::string& path);
GpuFacts look_at_gpus();

}  // namespace strata::doctor
