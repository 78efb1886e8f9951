// SPDX-License-Identifier: Apache-2.0
// strata verify PATH: reads every byte of a checkpoint and compares it with checksums, hashes and digests.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "launch/commands/command.h"
#include "launch/metrics/humanize.h"
#include "launch/train/run_state.h"

namespace strata {
namespace {

int verify(const std::string& path) {
  const auto files = make_posix_file_system();
  const StrataSource checkpoint(*files, find_checkpoint(*files, path));
  const auto begin = std::chrono::steady_clock::now();
  int64_t done = 0;
  const std::vector<std::string> faults = checkpoint.verify([&](int64_t bytes) { done += bytes; });
  for (const std::string& fault : faults) fmt::print("{}\n", fault);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print(
      "{}: {} tensors, {} in {}: {}\n", checkpoint.path(), checkpoint.tensors().size(), human_bytes(done),
      human_duration(seconds),
      faults.empty() ? "whole" : fmt::format("{} fault{}", faults.size(), faults.size() > 1 ? "s" : ""));
  return faults.empty() ? 0 : static_cast<int>(Fault::model);
}

}  // namespace

Run add_verify(CLI::App& app) {
  const auto path = std::make_shared<std::string>();
  app.add_option("PATH", *path, "a run's folder (its newest checkpoint), or one checkpoint")->required();
  app.footer("Example:\n  strata verify runs/tiny/checkpoints/step-00001100");
  return [=] { return verify(*path); };
}

}  // namespace strata
