// SPDX-License-Identifier: Apache-2.0
#include "parallel/comm/launcher_environment.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace strata {
namespace {

struct Row {
  const char* launcher;
  const char* rank;
  const char* size;
  const char* needs;  // a variable that must be there too
};

// From the launchers' manuals. MPICH, Intel MPI and Cray's set PMI's; MVAPICH2 its own.
constexpr Row kLaunchers[] = {
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", nullptr},
    {"MVAPICH2", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", nullptr},
    {"PMI", "PMI_RANK", "PMI_SIZE", nullptr},
    {"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_ID"},
};

std::optional<int> number(const char* text) {
  if (!text) return std::nullopt;
  const std::string_view view(text);
  int value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc() || end != view.data() + view.size()) return std::nullopt;
  return value;
}

}  // namespace

const char* read_environment(const char* name) { return std::getenv(name); }

std::vector<LauncherClaim> launcher_claims(const ReadVariable& read) {
  std::vector<LauncherClaim> claims;
  for (const Row& row : kLaunchers) {
    const auto rank = number(read(row.rank)), size = number(read(row.size));
    // A batch script's own step has no number.
    if (row.needs && !number(read(row.needs))) continue;
    if (rank && size) claims.push_back({row.launcher, row.rank, row.size, *rank, *size});
  }
  return claims;
}

bool started_by_launcher(const ReadVariable& read) {
  const auto claims = launcher_claims(read);
  return !claims.empty() && claims.front().size > 1;
}

std::optional<std::string> contradiction(const std::vector<LauncherClaim>& claims, int rank, int size) {
  if (claims.empty()) return std::nullopt;
  const LauncherClaim& claim = claims.front();
  if (claim.rank == rank && claim.size == size) return std::nullopt;
  return fmt::format("{} says rank {} of {} ({}, {}), MPI says rank {} of {}", claim.launcher, claim.rank,
                     claim.size, claim.rank_variable, claim.size_variable, rank, size);
}

}  // namespace strata
