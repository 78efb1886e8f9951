// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json: which file of a sharded model holds which tensor.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/io/file_system.h"

namespace strata {

struct SafetensorsIndex {
  std::vector<std::string> files;                         // plain names, in the order of first mention
  std::vector<std::pair<std::string, size_t>> tensor_of;  // name and index into files, sorted by name
};

inline constexpr std::string_view kSafetensorsIndexName = "model.safetensors.index.json";

// Throws Error(model): form, sizes, names that leave the folder, a tensor twice.
SafetensorsIndex read_safetensors_index(FileSystem& files, const std::string& path);

}  // namespace strata
