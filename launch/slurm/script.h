// SPDX-License-Identifier: Apache-2.0
// The batch script that `strata slurm` writes: a pure function of what the job asks for.
#pragma once

#include <string>
#include <vector>

namespace strata {

struct SlurmJob {
  std::string name;
  std::string program;                 // the strata that runs, as the nodes see it
  std::vector<std::string> arguments;  // behind `strata train`
  int nodes = 1;                       // that train
  int spare = 0;                       // that are allocated beside them and take the place of one that fails
  int ranks_per_node = 1;
  int cpus_per_rank = 0;  // 0: not asked for
  int gpus_per_node = 0;
  int lead_s = 300;  // between the signal to save and the end of the job's time
  std::string time;  // as sbatch takes it; empty: the partition's
  std::string partition, account, qos;
  std::string mpi = "pmix";             // of srun --mpi
  std::vector<std::string> directives;  // more lines, without "#SBATCH "
};

// The script of the job. srun may end with 0 without having launched anything: ranks that began leave a file,
// .strata-JOBID in the folder it runs in, which the script removes. Exit code 85 requeues the job; one that a
// lost node can explain starts the job step again on the nodes that answer, while they are enough, and
// requeues otherwise; every other one ends the job.
std::string slurm_script(const SlurmJob& job);

// Quoted as a word of a POSIX shell, when it has to be.
std::string shell_word(const std::string& word);

}  // namespace strata
