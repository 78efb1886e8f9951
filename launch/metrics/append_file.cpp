// SPDX-License-Identifier: Apache-2.0
#include "launch/metrics/append_file.h"

#include <span>

namespace strata {
namespace {

std::unique_ptr<File> open(FileSystem& files, const std::string& path, AppendFile::Open mode) {
  if (mode == AppendFile::Open::extend)
    if (auto file = files.open_if_exists(path, OpenMode::update)) return file;
  return files.open(path, OpenMode::create_new);
}

}  // namespace

AppendFile::AppendFile(FileSystem& files, const std::string& path, Open mode)
    : file_(open(files, path, mode)), bytes_(file_->size()) {}

void AppendFile::append(std::string_view record) {
  try {
    file_->write(bytes_, std::as_bytes(std::span(record)));
  } catch (const IoError&) {
    try {
      file_->truncate(bytes_);
    } catch (const IoError&) {
      // The next record overwrites the half one; until then readers leave it out. The first failure is the
      // one to tell.
    }
    throw;
  }
  bytes_ += static_cast<int64_t>(record.size());
}

}  // namespace strata
