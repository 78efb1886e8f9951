// SPDX-License-Identifier: Apache-2.0
// An open file: bytes at offsets. Every feature of Strata that touches a file does so through this class and
// FileSystem, so that tests can put the fault-injecting twin (memory_file_system.h) beneath it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/io/io_error.h"

namespace strata {

enum class OpenMode : uint8_t {
  read,        // existing file
  read_plain,  // existing regular file under this very name: a symbolic link is ELOOP, a device or pipe
               // EINVAL
  update,      // existing file, read and write
  create,      // read and write; made if missing, emptied if not
  create_new,  // read and write; EEXIST if it is there
};

enum class Caching : uint8_t {
  buffered,       // through the kernel's page cache
  direct,         // past it (O_DIRECT); EINVAL where the file system cannot
  prefer_direct,  // direct where the file system can, else buffered; File::direct() tells
};

// What addresses, and file offsets and lengths, must be multiples of. {1, 1} for a buffered file.
struct Alignment {
  int64_t memory = 1;
  int64_t offset = 1;

  friend bool operator==(const Alignment&, const Alignment&) = default;
};

// Calls may come from several threads at once; overlapping ranges are not ordered. On a direct file every
// range given to read, read_up_to and write obeys alignment(), else ContractError. Failures throw IoError
// with path, offset, bytes, errno text and a fix.
class File {
 public:
  File(std::string path, bool direct, Alignment alignment)
      : path_(std::move(path)), direct_(direct), alignment_(alignment) {}
  virtual ~File() = default;  // closes; nothing is synced
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  bool direct() const { return direct_; }
  Alignment alignment() const { return alignment_; }

  // The whole range. A file that ends before it is an Error(data).
  void read(int64_t offset, std::span<std::byte> into);
  // As much of the range as the file has; the count of bytes.
  int64_t read_up_to(int64_t offset, std::span<std::byte> into);
  // The whole range, growing the file if needed. Lost in a crash until sync() returns.
  void write(int64_t offset, std::span<const std::byte> from);

  // Returns when everything written is on the device, with the size needed to read it (fdatasync). That this
  // file has a name is durable only after FileSystem::sync_directory. After a failed sync the kernel may have
  // dropped the data: every later sync of this handle fails too, and the content must be written to a new
  // file.
  void sync();

  int64_t size();
  void truncate(int64_t bytes);
  // Reserves the space of [0, bytes) and makes the file at least that long, so that writes inside cannot meet
  // a full disk. False when the file system cannot reserve: the file is then long enough, but sparse.
  bool preallocate(int64_t bytes);

  // ContractError when the range breaks alignment(); `action` names the caller in the message.
  void check_range(const char* action, int64_t offset, const void* memory, int64_t bytes) const;

  // One attempt each, for the engines of AsyncIo: bytes moved (0: end of file), or a negated code. sync_once:
  // 0 or a negated code, and what sync() says about failure.
  virtual int64_t read_once(int64_t offset, std::span<std::byte> into) = 0;
  virtual int64_t write_once(int64_t offset, std::span<const std::byte> from) = 0;
  int64_t sync_once();
  // The code of the first failed sync, 0 before. An engine that syncs by other means reports its result here.
  int sync_failure() const { return sync_failure_.load(std::memory_order_relaxed); }
  void report_sync(int code);
  // The descriptor that a kernel engine works on; -1 when there is none.
  virtual int descriptor() const = 0;

 protected:
  virtual int64_t do_sync() = 0;  // these four: result or 0, or a negated code
  virtual int64_t do_size() = 0;
  virtual int64_t do_truncate(int64_t bytes) = 0;
  virtual int64_t do_preallocate(int64_t bytes) = 0;  // 1: reserved, 0: only made long enough

 private:
  std::string path_;
  bool direct_;
  Alignment alignment_;
  std::atomic<int> sync_failure_{0};
};

}  // namespace strata
