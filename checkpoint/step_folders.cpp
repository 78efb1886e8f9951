// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/step_folders.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "checkpoint/commit.h"
#include "checkpoint/manifest.h"
#include "core/base/error.h"

namespace strata {
namespace {

constexpr std::string_view kPrefix = "step-";

// The step of "step-00001000"; nothing for any other name.
std::optional<int64_t> step_named(std::string_view name) {
  if (!name.starts_with(kPrefix) || name.size() < kPrefix.size() + 8) return std::nullopt;
  int64_t step = 0;
  const char* const end = name.data() + name.size();
  const auto [rest, code] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (code != std::errc() || rest != end || step < 0) return std::nullopt;
  return step;
}

std::string first_line(const Error& error) {
  const Report& report = error.report();
  return fmt::format("{}{}{}", report.what, report.found.empty() ? "" : ": ", report.found);
}

}  // namespace

std::string step_folder(const std::string& directory, int64_t step) {
  return fmt::format("{}/{}{:08}", directory, kPrefix, step);
}

std::vector<StepFolder> list_steps(FileSystem& files, const std::string& directory) {
  std::vector<StepFolder> steps;
  for (const std::string& name : files.list(directory).value_or(std::vector<std::string>{}))
    if (const auto step = step_named(name)) steps.push_back({*step, directory + "/" + name});
  std::sort(steps.begin(), steps.end(),
            [](const StepFolder& a, const StepFolder& b) { return a.step < b.step; });
  return steps;
}

StepChoice choose_step(FileSystem& files, const std::string& directory) {
  StepChoice choice;
  const std::vector<StepFolder> steps = list_steps(files, directory);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      read_manifest(files, step->path);
    } catch (const Error& error) {
      choice.passed_over.push_back(fmt::format("{}: {}", step->path, first_line(error)));
      continue;
    }
    choice.folder = *step;
    choice.why = choice.passed_over.empty() ? fmt::format("the newest of {} committed", steps.size())
                                            : fmt::format("the newest whole one of {}: {} newer passed over",
                                                          steps.size(), choice.passed_over.size());
    return choice;
  }
  choice.why = steps.empty() ? "there is no committed checkpoint" : "no committed checkpoint is whole";
  return choice;
}

std::vector<std::string> list_unfinished(FileSystem& files, const std::string& directory) {
  std::vector<std::string> names;
  for (const std::string& name : files.list(directory).value_or(std::vector<std::string>{}))
    for (const std::string_view mark : {".tmp-", ".deleted-"})
      if (const size_t at = name.find(mark);
          at != std::string::npos && step_named(std::string_view(name).substr(0, at)))
        names.push_back(name);
  return names;
}

std::vector<std::string> remove_unfinished(FileSystem& files, const std::string& directory) {
  const std::vector<std::string> names = list_unfinished(files, directory);
  for (const std::string& name : names) remove_tree(files, directory + "/" + name);
  return names;
}

RetiredSteps retire_steps(FileSystem& files, const std::string& directory, int64_t keep) {
  const int64_t kept = std::max<int64_t>(keep, 2);
  RetiredSteps retired;
  int64_t good = 0;
  const std::vector<StepFolder> steps = list_steps(files, directory);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      read_manifest(files, step->path);
    } catch (const IoError&) {
      throw;
    } catch (const Error&) {
      continue;
    }
    if (++good <= kept) continue;
    retired.trash.push_back(retire_folder(files, step->path));
    retired.paths.push_back(step->path);
  }
  return retired;
}

void claim_folder(FileSystem& files, const std::string& directory, const std::string& id) {
  replace_file(files, directory + "/owner", id + "\n");
}

void require_claim(FileSystem& files, const std::string& directory, const std::string& id) {
  const std::string path = directory + "/owner", found = read_file(files, path);
  if (found == id + "\n") return;
  throw Error(Fault::environment,
              {.what = "another job saves into this folder: nothing is committed here any more",
               .where = path,
               .found = found.substr(0, 32),
               .expected = id,
               .fix = "stop one of the two jobs, or give them different run.out"});
}

}  // namespace strata
