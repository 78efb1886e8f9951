// SPDX-License-Identifier: Apache-2.0
#include "launch/train/temporary_folder.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace strata {

TemporaryFolder::TemporaryFolder(const std::string& name)
    : path_((std::filesystem::temp_directory_path() / ("strata-" + name + "-XXXXXX")).string()) {
  if (!mkdtemp(path_.data()))
    throw std::filesystem::filesystem_error("mkdtemp", path_,
                                            std::error_code(errno, std::generic_category()));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace strata
