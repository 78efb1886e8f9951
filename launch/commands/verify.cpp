// SPDX-License-Identifier: Apache-2.0
// strata verify PATH: reads every byte of a checkpoint and compares it with checksums, hashes and digests.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <numeric>

#include "checkpoint/convert.h"
#include "checkpoint/strata_source.h"
#include "core/base/error.h"
#include "launch/commands/command.h"
#include "launch/convert/open_checkpoint.h"
#include "launch/convert/progress.h"
#include "launch/metrics/humanize.h"
#include "launch/train/run_state.h"

namespace strata {
namespace {

// A format without checksums: everything it says is checked when it is opened, and every byte can be read.
int verify_foreign(FileSystem& files, const std::string& path) {
  const OpenedCheckpoint opened = open_checkpoint(files, path);
  std::vector<size_t> all(opened.stored->tensors().size());
  std::iota(all.begin(), all.end(), size_t{0});
  int64_t bytes = 0;
  for (const TensorSpec& tensor : opened.stored->tensors()) bytes += tensor.bytes();
  WorkerPool pool;
  Progress progress("read", bytes);
  read_digests(*opened.stored, all, int64_t{16} << 20, pool, [&](int64_t now) { progress.add(now); });
  fmt::print("{}: {}, {} tensors, {}: complete{}; the format has no checksums\n", opened.stored->path(),
             opened.stored->format(), all.size(), human_bytes(bytes),
             opened.model ? ", and what its configuration says" : "");
  return 0;
}

int verify(const std::string& path) {
  const auto files = make_posix_file_system();
  if (is_foreign(*files, path)) return verify_foreign(*files, path);
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
  app.add_option("PATH", *path,
                 "a run's folder (its newest checkpoint), one checkpoint, or a model of Hugging Face")
      ->required();
  app.footer("Example:\n  strata verify runs/tiny/checkpoints/step-00001100");
  return [=] { return verify(*path); };
}

}  // namespace strata
