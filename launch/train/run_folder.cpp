// SPDX-License-Identifier: Apache-2.0
#include "launch/train/run_folder.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/error.h"
#include "core/io/io_error.h"
#include "launch/config/fingerprint.h"
#include "launch/config/print.h"

namespace strata {
namespace {

// A path that cannot be, as a report that names the key and another value.
template <typename Action>
auto at_run_out(const Config& config, Action action) {
  try {
    return action();
  } catch (const IoError& error) {
    if (error.code() != ENOENT && error.code() != ENOTDIR) throw;
    Report report = error.report();
    report.where = fmt::format("run.out = \"{}\"", config.run.out);
    report.expected = "a path at which a folder can be made";
    report.fix = fmt::format("name another folder, for example run.out=runs/{}", config.run.name);
    throw Error(Fault::usage, report);
  }
}

}  // namespace

RunFolder::RunFolder(FileSystem& files, const LoadedConfig& loaded, bool leads)
    : path_(loaded.config.run.out) {
  const std::string& resume = loaded.config.checkpoint.resume;
  if (leads) take(files, loaded);
  const auto log = files.info(metrics());
  has_begun_ = (log && log->bytes > 0) || !list_steps(files, checkpoints()).empty();
  if (resume == "auto") {
    choice_ = choose_step(files, checkpoints());
    if (choice_.folder) resume_from_ = choice_.folder->path;
    if (!choice_.folder && !choice_.passed_over.empty())
      throw Error(Fault::model, {.what = "no checkpoint of this run is whole",
                                 .where = checkpoints(),
                                 .found = fmt::format("{}", fmt::join(choice_.passed_over, "\n            ")),
                                 .expected = "one to go on from, because checkpoint.resume = \"auto\"",
                                 .fix = "restore one, or choose another run.out to start afresh"});
  } else if (resume != "none") {
    resume_from_ = resume;
  }
}

void RunFolder::take(FileSystem& files, const LoadedConfig& loaded) const {
  const auto names = at_run_out(loaded.config, [&] { return files.list(path_); });
  const bool holds_run = names && std::find(names->begin(), names->end(), "config.toml") != names->end();
  if (holds_run) {
    // A start that failed before its first step leaves nothing that could be lost.
    const auto log = files.info(metrics());
    if ((log && log->bytes > 0) || !list_steps(files, checkpoints()).empty()) refuse_other_run(files, loaded);
  } else if (names && !names->empty()) {
    throw Error(Fault::usage, {.what = "run.out is a folder that holds something else",
                               .where = path_,
                               .found = fmt::format("{} entries, '{}' among them, and no config.toml",
                                                    names->size(), names->front()),
                               .expected = "an empty or new folder, or that of this run",
                               .fix = "choose another run.out"});
  }
  if (loaded.config.checkpoint.resume == "none") {
    if (const auto steps = list_steps(files, checkpoints()); !steps.empty())
      throw Error(Fault::usage,
                  {.what = "run.out already holds checkpoints of this run",
                   .where = checkpoints(),
                   .found = fmt::format("{}, the newest of step {}", steps.size(), steps.back().step),
                   .expected = "none, because checkpoint.resume = \"none\" starts from the beginning",
                   .fix = "choose another run.out, or use checkpoint.resume = \"auto\" to continue"});
  }
  at_run_out(loaded.config, [&] { make_directories(files, checkpoints()); });
  replace_file(files, path_ + "/config.toml", effective_toml(loaded));
}

void RunFolder::refuse_other_run(FileSystem& files, const LoadedConfig& loaded) const {
  const std::string file = path_ + "/config.toml";
  const LoadedConfig there = parse_config(read_file(files, file), file);
  if (fingerprint(there.config) == fingerprint(loaded.config)) return;
  throw Error(
      Fault::usage,
      {.what = "run.out holds another run",
       .where = path_,
       .found = fmt::format("{}", fmt::join(differences(there.config, loaded.config), "; ")),
       .expected = "the same values, to continue that run",
       .fix = "choose another run.out, or start from that run's configuration: strata train " + file});
}

}  // namespace strata
