// SPDX-License-Identifier: Apache-2.0
// The files that a DeepSpeed job left for one step: the ranks' optimizer states and model states, by name
// alone. Source: DeepSpeed's runtime/engine.py (_get_zero_ckpt_name, _get_ckpt_name).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/io/file_system.h"

namespace strata {

struct DeepspeedFiles {
  std::string folder;                  // of the step
  std::vector<std::string> optimizer;  // by data-parallel rank: paths
  std::vector<std::string> model;      // one, or (stage 3) by data-parallel rank
};

// The folder of a step that `path` is or names: with a file `tracker` ("latest", "latest_universal") that
// holds its name. Nothing when `path` is no folder. Throws Error(model) when the tracker names none.
std::optional<std::string> deepspeed_folder(FileSystem& files, const std::string& path,
                                            std::string_view tracker);

// Whether ranks of ZeRO wrote to `folder`.
bool has_zero_files(FileSystem& files, const std::string& folder);

// Throws Error(model): ranks missing; several model-parallel ranks, pipeline stages or experts, whose
// parameters are not in one piece.
DeepspeedFiles find_zero_files(FileSystem& files, const std::string& folder);

}  // namespace strata
