// SPDX-License-Identifier: Apache-2.0
// A file that only grows, by whole records.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/io/file_system.h"

namespace strata {

// A record is with the operating system when append() returns: it outlives a killed process, not a power cut.
// Not thread-safe; one writer per file.
class AppendFile {
 public:
  enum class Open { extend, create };  // extend: made if missing; create: must not exist

  // Throws IoError when the file can't be opened.
  AppendFile(FileSystem& files, const std::string& path, Open mode);

  // All of `record` or nothing: when it does not fit (full disk), what was written of it is taken back before
  // IoError is thrown, so that a later record does not continue half a one.
  void append(std::string_view record);

  const std::string& path() const { return file_->path(); }

 private:
  std::unique_ptr<File> file_;
  int64_t bytes_;
};

}  // namespace strata
