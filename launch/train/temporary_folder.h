// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace strata {

// A folder for files that are needed while it lives, such as tokenized text.
class TemporaryFolder {
 public:
  // "strata-NAME-......" among the machine's temporary files. Throws std::filesystem::filesystem_error.
  explicit TemporaryFolder(const std::string& name);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace strata
