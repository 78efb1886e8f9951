// SPDX-License-Identifier: Apache-2.0
// strata train CONFIG [key=value ...]
#include "launch/train/trainer.h"

#include <CLI/CLI.hpp>

#include "launch/commands/command.h"
#include "launch/commands/config_arguments.h"

namespace strata {

Run add_train(CLI::App& app) {
  const auto arguments = add_config_arguments(app, "strata train tiny.toml run.steps=1000 optimizer.lr=1e-3");
  return [=] { return run_job([&](const Job& job) { return train(arguments->load(), job); }); };
}

}  // namespace strata
