// SPDX-License-Identifier: Apache-2.0
#include "core/data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace strata {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, std::string what, std::string found) {
  throw Error(Fault::data, {.what = std::move(what),
                            .where = path.string(),
                            .found = std::move(found),
                            .expected = "a regular file that this process may read",
                            .fix = "check the path and its permissions"});
}

std::string errno_text() { return std::generic_category().message(errno); }

}  // namespace

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path_, "a data file cannot be opened", errno_text());
  struct stat info {};
  void* data = nullptr;
  std::string found;
  if (::fstat(fd, &info) != 0) {
    found = errno_text();
  } else if (!S_ISREG(info.st_mode)) {
    found = S_ISDIR(info.st_mode) ? "a directory" : "a pipe or device";
  } else if (info.st_size > 0) {
    data = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) found = errno_text();
  }
  ::close(fd);  // the mapping keeps the file
  if (!found.empty()) fail(path_, "a data file cannot be mapped", std::move(found));
  bytes_ = {static_cast<const std::byte*>(data), static_cast<size_t>(info.st_size)};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace strata
