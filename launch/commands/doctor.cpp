// SPDX-License-Identifier: Apache-2.0
// strata doctor [--path FOLDER]... [--json]: what is good and bad about this machine for Strata, with what
// mends it. Under mpirun also what only several ranks can tell; rank 0 looks at its machine and speaks.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/base/error.h"
#include "launch/commands/command.h"
#include "launch/doctor/judge.h"
#include "launch/doctor/look_at_job.h"
#include "launch/train/job.h"

namespace strata {
namespace {

struct DoctorArguments {
  std::vector<std::string> paths{"."};
  bool json = false;
};

int examine(World& world, const DoctorArguments& arguments) {
  const doctor::JobFacts job = doctor::look_at_job(world);
  if (world.rank() != 0) return 0;
  doctor::Findings findings;
  const auto add = [&](doctor::Findings more) {
    findings.insert(findings.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  };
  add(judge(doctor::look_at_cpu()));
  add(judge(doctor::look_at_memory()));
  const auto files = make_posix_file_system();
  for (const std::string& path : arguments.paths) add(judge(doctor::look_at_storage(*files, path)));
  add(judge(job));
  add(judge(doctor::look_at_gpus()));
  fmt::print("{}", arguments.json ? doctor::to_json(findings) : doctor::to_string(findings));
  return doctor::healthy(findings) ? 0 : static_cast<int>(Fault::environment);
}

}  // namespace

Run add_doctor(CLI::App& app) {
  const auto arguments = std::make_shared<DoctorArguments>();
  app.add_option("--path", arguments->paths, "folders that runs, checkpoints or training state will lie in")
      ->type_name("FOLDER");
  app.add_flag("--json", arguments->json, "print one JSON object");
  app.footer("Examples:\n  strata doctor --path /scratch --path runs\n  mpirun -n 2 strata doctor");
  return [=] { return run_job([&](const Job& job) { return examine(job.world, *arguments); }); };
}

}  // namespace strata
