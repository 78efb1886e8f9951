// SPDX-License-Identifier: Apache-2.0
// The machine's own files, by plain system calls.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/base/check.h"
#include "core/io/async_io.h"
#include "core/io/file_system.h"

namespace strata {
namespace {

constexpr Alignment kDefaultDirect = {4096, 4096};  // holds on every disk, when the kernel does not tell

int64_t result_or_code(int64_t result) { return result < 0 ? -errno : result; }

// Runs a call that returns -1 and sets errno, again while it is interrupted; its result, or a negated code.
template <typename Call>
int64_t uninterrupted(Call call) {
  int64_t result;
  do result = result_or_code(call());
  while (result == -EINTR);
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::optional<Alignment> direct_alignment(const struct statx& info) {
  if (!(info.stx_mask & STATX_DIOALIGN)) return kDefaultDirect;
  if (info.stx_dio_offset_align == 0) return std::nullopt;
  return Alignment{info.stx_dio_mem_align, info.stx_dio_offset_align};
}

IoOutcome<struct statx> statx_of(int directory_fd, const char* path, int flags) {
  IoOutcome<struct statx> outcome;
  if (::statx(directory_fd, path, flags, STATX_TYPE | STATX_SIZE | STATX_DIOALIGN, &outcome.value) != 0)
    outcome.code = errno;
  return outcome;
}

class PosixFile : public File {
 public:
  PosixFile(Descriptor fd, std::string path, bool direct, Alignment alignment)
      : File(std::move(path), direct, alignment), fd_(std::move(fd)) {}

  int64_t read_once(int64_t offset, std::span<std::byte> into) override {
    return result_or_code(::pread(fd_.get(), into.data(), into.size(), offset));
  }
  int64_t write_once(int64_t offset, std::span<const std::byte> from) override {
    return result_or_code(::pwrite(fd_.get(), from.data(), from.size(), offset));
  }
  int descriptor() const override { return fd_.get(); }

 protected:
  int64_t do_sync() override { return result_or_code(::fdatasync(fd_.get())); }
  int64_t do_size() override {
    struct stat info;
    return ::fstat(fd_.get(), &info) == 0 ? info.st_size : -errno;
  }
  int64_t do_truncate(int64_t bytes) override {
    return uninterrupted([&] { return ::ftruncate(fd_.get(), bytes); });
  }
  int64_t do_preallocate(int64_t bytes) override {
    const int64_t result = uninterrupted([&] { return ::fallocate(fd_.get(), 0, 0, bytes); });
    if (result == 0) return 1;
    if (result != -EOPNOTSUPP && result != -ENOSYS) return result;
    const int64_t now = do_size();
    if (now < 0 || now >= bytes) return std::min<int64_t>(now, 0);
    return do_truncate(bytes);
  }

 private:
  Descriptor fd_;
};

class PosixMapping : public Mapping {
 public:
  PosixMapping(void* data, size_t bytes) : data_(data), bytes_(bytes) {}
  ~PosixMapping() override {
    if (bytes_ > 0) ::munmap(data_, bytes_);
  }
  std::span<const std::byte> bytes() const override { return {static_cast<const std::byte*>(data_), bytes_}; }

 private:
  void* data_;
  size_t bytes_;
};

std::string volume_type(uint64_t magic) {
  // From the statfs(2) manual and linux/magic.h; the parallel file systems from their own sources.
  static constexpr std::pair<uint64_t, const char*> kNames[] = {
      {0xEF53, "ext4"},       {0x58465342, "xfs"},     {0x9123683E, "btrfs"},  {0x2FC12FC1, "zfs"},
      {0xF2F52010, "f2fs"},   {0x01021994, "tmpfs"},   {0x858458F6, "ramfs"},  {0x794C7630, "overlay"},
      {0x6969, "nfs"},        {0xFF534D42, "cifs"},    {0xFE534D42, "smb2"},   {0x65735546, "fuse"},
      {0x0BD00BD0, "lustre"}, {0x47504653, "gpfs"},    {0x19830326, "beegfs"}, {0x00C36400, "ceph"},
      {0x01021997, "9p"},     {0x73717368, "squashfs"}};
  for (const auto& [value, name] : kNames)
    if (value == magic) return name;
  return fmt::format("{:#x}", magic);
}

class PosixFileSystem : public FileSystem {
 public:
  std::unique_ptr<AsyncIo> make_async_io(const AsyncIoOptions& options) override {
    return make_kernel_async_io(options);
  }

 protected:
  IoOutcome<std::unique_ptr<File>> do_open(const std::string& path, OpenMode mode, Caching caching) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::read:
        flags |= O_RDONLY;
        break;
      case OpenMode::read_plain:
        flags |= O_RDONLY | O_NOFOLLOW | O_NONBLOCK;  // opening a pipe must not wait for its writer
        break;
      case OpenMode::update:
        flags |= O_RDWR;
        break;
      case OpenMode::create:
        flags |= O_RDWR | O_CREAT | O_TRUNC;
        break;
      case OpenMode::create_new:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    if (caching != Caching::buffered) {
      auto direct = open_direct(path, flags);
      if (direct.code != EINVAL || caching == Caching::direct) return direct;
      // A file system without direct I/O may have made the file before it refused.
      if (mode == OpenMode::create_new) flags &= ~O_EXCL;
    }
    const int64_t fd = uninterrupted([&] { return ::open(path.c_str(), flags, 0666); });
    if (fd < 0) return {nullptr, static_cast<int>(-fd)};
    Descriptor owned(static_cast<int>(fd));
    struct stat info;
    if (::fstat(owned.get(), &info) != 0) return {nullptr, errno};
    if (S_ISDIR(info.st_mode)) return {nullptr, EISDIR};
    if (mode == OpenMode::read_plain && !S_ISREG(info.st_mode)) return {nullptr, EINVAL};
    return {std::make_unique<PosixFile>(std::move(owned), path, false, Alignment{}), 0};
  }

  IoOutcome<FileInfo> do_info(const std::string& path) override {
    const auto [info, code] = statx_of(AT_FDCWD, path.c_str(), 0);
    if (code != 0) return {{}, code};
    if (S_ISDIR(info.stx_mode)) return {{.type = FileInfo::Type::directory}, 0};
    if (!S_ISREG(info.stx_mode)) return {{.type = FileInfo::Type::other}, 0};
    return {{.type = FileInfo::Type::file,
             .bytes = static_cast<int64_t>(info.stx_size),
             .direct = direct_alignment(info)},
            0};
  }

  IoOutcome<bool> do_is_link(const std::string& path) override {
    struct stat info;
    if (::lstat(path.c_str(), &info) != 0) return {false, errno};
    return {S_ISLNK(info.st_mode), 0};
  }

  IoOutcome<std::vector<std::string>> do_list(const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), &::closedir);
    if (!open) return {{}, errno};
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(open.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return {{}, errno};
    std::sort(names.begin(), names.end());
    return {std::move(names), 0};
  }

  int do_make_directory(const std::string& path) override {
    return ::mkdir(path.c_str(), 0777) == 0 ? 0 : errno;
  }
  int do_rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
  }
  int do_remove(const std::string& path) override { return std::remove(path.c_str()) == 0 ? 0 : errno; }

  int do_sync_directory(const std::string& path) override {
    const int64_t fd =
        uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) return static_cast<int>(-fd);
    const Descriptor owned(static_cast<int>(fd));
    const int64_t result = uninterrupted([&] { return ::fsync(owned.get()); });
    return result == -EINVAL
               ? 0
               : static_cast<int>(-result);  // EINVAL: this file system has nothing to sync there
  }

  IoOutcome<std::unique_ptr<Mapping>> do_map(const std::string& path) override {
    auto [file, code] = do_open(path, OpenMode::read, Caching::buffered);
    if (code != 0) return {nullptr, code};
    const int64_t bytes = file->size();
    if (bytes == 0) return {std::make_unique<PosixMapping>(nullptr, 0), 0};
    void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ, MAP_SHARED, file->descriptor(), 0);
    if (data == MAP_FAILED) return {nullptr, errno};
    return {std::make_unique<PosixMapping>(data, static_cast<size_t>(bytes)), 0};
  }

  IoOutcome<Volume> do_volume(const std::string& path) override {
    struct statfs type;
    struct statvfs space;
    if (::statfs(path.c_str(), &type) != 0 || ::statvfs(path.c_str(), &space) != 0) return {{}, errno};
    const auto unit = static_cast<int64_t>(space.f_frsize);
    return {{.type = volume_type(static_cast<uint32_t>(type.f_type)),
             .total_bytes = static_cast<int64_t>(space.f_blocks) * unit,
             .free_bytes = static_cast<int64_t>(space.f_bavail) * unit},
            0};
  }

 private:
  static IoOutcome<std::unique_ptr<File>> open_direct(const std::string& path, int flags) {
    const int64_t fd = uninterrupted([&] { return ::open(path.c_str(), flags | O_DIRECT, 0666); });
    if (fd < 0) return {nullptr, static_cast<int>(-fd)};
    Descriptor owned(static_cast<int>(fd));
    const auto [info, code] = statx_of(owned.get(), "", AT_EMPTY_PATH);
    if (code != 0) return {nullptr, code};
    const std::optional<Alignment> alignment = direct_alignment(info);
    if (!alignment || !S_ISREG(info.stx_mode)) return {nullptr, EINVAL};
    return {std::make_unique<PosixFile>(std::move(owned), path, true, *alignment), 0};
  }
};

}  // namespace

std::unique_ptr<FileSystem> make_posix_file_system() { return std::make_unique<PosixFileSystem>(); }

}  // namespace strata
