// SPDX-License-Identifier: Apache-2.0
// The folder of a run's checkpoints: which are there, which one to go on from, what a crash left, what may
// go.
//
//   step-00001000/                committed
//   step-00001500.tmp-<id>/       being written, or left by a crash
//   step-00000500.deleted-<id>/   being removed, or left by a crash
//   latest                        the name of the newest one; a hint for people and scripts
//   owner                         the id of the job that may commit here
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/io/file_system.h"

namespace strata {

struct StepFolder {
  int64_t step = 0;
  std::string path;
};

std::string step_folder(const std::string& directory, int64_t step);

// What has the name of a committed step, oldest first, whether or not it is whole.
std::vector<StepFolder> list_steps(FileSystem& files, const std::string& directory);

struct StepChoice {
  std::optional<StepFolder> folder;      // nothing: no whole checkpoint
  std::string why;                       // one line for people
  std::vector<std::string> passed_over;  // newer ones, with what is wrong with them
};
// The newest step whose manifest is whole and whose files all have their sizes.
StepChoice choose_step(FileSystem& files, const std::string& directory);

// What crashes left: names in the folder that are being written or removed.
std::vector<std::string> list_unfinished(FileSystem& files, const std::string& directory);
// Removes them; the names. Only the owner does this, before its first save.
std::vector<std::string> remove_unfinished(FileSystem& files, const std::string& directory);

// Takes the names of whole checkpoints away, oldest first, until max(keep, 2) whole ones are left. Damaged
// ones are neither counted nor touched. Their bytes are there until `trash` is removed (remove_tree), which
// may take half as long as writing them where a file system gives freed blocks back to the drive at once.
struct RetiredSteps {
  std::vector<std::string> paths;  // that were
  std::vector<std::string> trash;  // that are
};
RetiredSteps retire_steps(FileSystem& files, const std::string& directory, int64_t keep);

// Makes `id` the job that may commit in this folder: a job that finds another id here has been replaced.
void claim_folder(FileSystem& files, const std::string& directory, const std::string& id);
// Throws Error(environment) when another job has claimed it.
void require_claim(FileSystem& files, const std::string& directory, const std::string& id);

}  // namespace strata
