// SPDX-License-Identifier: Apache-2.0
// What job launchers say in the environment about this process: whether one started it, and with which rank.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace strata {

struct LauncherClaim {
  std::string launcher;  // "Open MPI"
  std::string rank_variable, size_variable;
  int rank = 0;
  int size = 0;
};

// Reads a variable; null when it is not set.
using ReadVariable = std::function<const char*(const char*)>;
const char* read_environment(const char* name);  // getenv

// Every launcher that left both its variables, the nearest one (which starts processes itself) first: under
// "srun mpirun" that is mpirun. Slurm's count only for a process that srun started, not for a batch script.
std::vector<LauncherClaim> launcher_claims(const ReadVariable& read = read_environment);

// Whether this is one of several processes that a launcher started as one job: MPI should be started.
bool started_by_launcher(const ReadVariable& read = read_environment);

// What is wrong when MPI says (rank, size) and the nearest launcher something else; nothing when they agree.
std::optional<std::string> contradiction(const std::vector<LauncherClaim>& claims, int rank, int size);

}  // namespace strata
