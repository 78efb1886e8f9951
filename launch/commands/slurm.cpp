// SPDX-License-Identifier: Apache-2.0
// strata slurm CONFIG [key=value ...]: writes the batch script that trains it under Slurm.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "core/data/tokenizer.h"
#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"
#include "launch/slurm/script.h"
#include "launch/train/place.h"
#include "launch/write_new_file.h"

namespace strata {
namespace {

struct SlurmArguments {
  SlurmJob job;
  std::string output;
};

// Slurm takes a wider choice; what would break the script or the name of the log does not pass.
std::string job_name(const std::string& name) {
  std::string plain = name;
  std::replace_if(
      plain.begin(), plain.end(),
      [](unsigned char c) { return !std::isalnum(c) && c != '-' && c != '_' && c != '.'; }, '-');
  return plain;
}

void check_going_on(const Config& config) {
  if (config.checkpoint.resume == "auto") return;
  throw Error(Fault::usage,
              {.what = "a job that queues again would not go on where it was",
               .where = "checkpoint.resume",
               .found = config.checkpoint.resume,
               .expected = "\"auto\"",
               .fix = "checkpoint.resume=auto; a first start from a path is model.from's business"});
}

int write_script(const ConfigArguments& given, SlurmArguments arguments) {
  const LoadedConfig loaded = given.load();
  const Config& config = loaded.config;
  check_going_on(config);
  SlurmJob& job = arguments.job;
  // What would be refused after hours in the queue is refused now.
  const int64_t vocab =
      config.model.vocab ? config.model.vocab : make_tokenizer(config.data.tokenizer)->vocab_size();
  place_options(config, job.nodes * job.ranks_per_node, vocab);
  job.name = job_name(config.run.name);
  if (job.program.empty()) job.program = std::filesystem::read_symlink("/proc/self/exe").string();
  job.arguments = {given.file};
  job.arguments.insert(job.arguments.end(), given.overrides.begin(), given.overrides.end());
  const std::string script = slurm_script(job);
  if (arguments.output == "-") {
    fmt::print("{}", script);
    return 0;
  }
  const std::string path = arguments.output.empty() ? job.name + ".sbatch" : arguments.output;
  write_new_file(path, script, "the batch script");
  fmt::print("wrote {}: {} ranks on {} nodes{}; hand it in with: sbatch {}\n", path,
             job.nodes * job.ranks_per_node, job.nodes,
             job.spare > 0 ? fmt::format(" and {} to spare", job.spare) : std::string(), shell_word(path));
  return 0;
}

}  // namespace

Run add_slurm(CLI::App& app) {
  const auto config = add_config_arguments(
      app,
      "strata slurm run.toml --nodes 4 --ranks-per-node 8 --gpus-per-node 8 --time 24:00:00 parallel.tp=8");
  const auto arguments = std::make_shared<SlurmArguments>();
  SlurmJob& job = arguments->job;
  const auto positive = CLI::Range(1, 1 << 20);
  app.add_option("--nodes", job.nodes, "that train")->check(positive)->capture_default_str();
  app.add_option("--spare", job.spare, "nodes beside them, for when one fails")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--ranks-per-node", job.ranks_per_node, "as many as GPUs, or one for each CPU socket")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--cpus-per-rank", job.cpus_per_rank, "cores of each rank")->check(positive);
  app.add_option("--gpus-per-node", job.gpus_per_node, "GPUs of each node")->check(positive);
  app.add_option("--time", job.time, "limit of one start, such as 24:00:00");
  app.add_option("--lead", job.lead_s, "seconds before that limit at which the run is told to save")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--partition", job.partition, "of the cluster");
  app.add_option("--account", job.account, "that is charged");
  app.add_option("--qos", job.qos, "quality of service");
  app.add_option("--mpi", job.mpi, "how srun and MPI find each other; see srun --mpi=list")
      ->capture_default_str();
  app.add_option("--sbatch", job.directives, "one more option of sbatch; several times for several")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--program", job.program, "strata as the nodes see it; default: this one");
  app.add_option("-o,--output", arguments->output,
                 "file to write, '-' for standard output; default NAME.sbatch");
  return [=] { return write_script(*config, *arguments); };
}

}  // namespace strata
