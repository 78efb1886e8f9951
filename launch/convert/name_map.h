// SPDX-License-Identifier: Apache-2.0
// `strata convert --map FILE`: the user's own description of a foreign checkpoint, as geometry. A TOML file
// of
// [[rule]] tables (checkpoint/map.md has all of it):
//   to = "layers.*.mlp.gate.weight", from = "blocks.*.fc1.weight"      '*': any text without a dot
//   part = [0, 2] | range = [begin, count], dim = 0, groups = 1, transpose = true, unstack = true, role =
//   "linear" drop = "blocks.*.rope"
#pragma once

#include <memory>

#include "checkpoint/adapters/mapped_source.h"
#include "core/io/file_system.h"

namespace strata {

// `source` lives longer. States (moments) follow their parameters. Adds what rules drop to `dropped`. Throws
// Error(usage) naming file, line and rule; tensors that no rule takes are listed.
std::unique_ptr<MappedSource> map_names(const TensorSource& source, FileSystem& files,
                                        const std::string& path, std::vector<Asset> assets,
                                        std::vector<std::string>& dropped);

}  // namespace strata
