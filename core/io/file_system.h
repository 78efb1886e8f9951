// SPDX-License-Identifier: Apache-2.0
// The one seam through which Strata reaches the disk. Two implementations: the machine's own
// (make_posix_file_system) and an in-memory one that loses power and injects faults (memory_file_system.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/file.h"

namespace strata {

class AsyncIo;
struct AsyncIoOptions;

struct FileInfo {
  enum class Type : uint8_t { file, directory, other };
  Type type = Type::file;
  int64_t bytes = 0;
  // What direct I/O on this file needs, as the file system says (statx) or 4096; nothing when it has no
  // direct I/O.
  std::optional<Alignment> direct = std::nullopt;
};

// The file system a path lies on.
struct Volume {
  std::string type;  // "ext4", "xfs", "tmpfs", "nfs", ...; the magic number in hex when not known by name
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;  // for this user
};

// A whole file, read-only, in the address space. Pages come in when touched; if another process cuts the file
// short, touching the lost part kills the process (SIGBUS), so map only files that are complete and no longer
// written.
class Mapping {
 public:
  virtual ~Mapping() = default;
  virtual std::span<const std::byte> bytes() const = 0;
};

// Calls may come from several threads. What is commonly absent (a file, a folder) is answered by a value;
// everything else that fails throws IoError. Changes of names are lost in a crash until sync_directory on the
// folder returns.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  std::unique_ptr<File> open(const std::string& path, OpenMode mode, Caching caching = Caching::buffered);
  // Null when there is no such file.
  std::unique_ptr<File> open_if_exists(const std::string& path, OpenMode mode,
                                       Caching caching = Caching::buffered);

  std::optional<FileInfo> info(const std::string& path);
  // Whether the path itself is a symbolic link, wherever it points to.
  bool is_link(const std::string& path);
  // Names in a folder, sorted, without "." and ".."; nothing when there is no such folder.
  std::optional<std::vector<std::string>> list(const std::string& directory);
  // One folder. False when it was there.
  bool make_directory(const std::string& path);
  // Replaces an existing file in one step: a reader, or a restart after a crash, finds the old or the new
  // one.
  void rename(const std::string& from, const std::string& to);
  // A file or an empty folder. False when there was none.
  bool remove(const std::string& path);
  // Returns when the names made, renamed and removed in this folder are durable.
  void sync_directory(const std::string& path);

  std::unique_ptr<Mapping> map(const std::string& path);
  Volume volume(const std::string& path);

  // The asynchronous engine for files of this file system (async_io.h).
  virtual std::unique_ptr<AsyncIo> make_async_io(const AsyncIoOptions& options) = 0;

 protected:
  virtual IoOutcome<std::unique_ptr<File>> do_open(const std::string& path, OpenMode mode,
                                                   Caching caching) = 0;
  virtual IoOutcome<FileInfo> do_info(const std::string& path) = 0;
  virtual IoOutcome<bool> do_is_link(const std::string& path) = 0;
  virtual IoOutcome<std::vector<std::string>> do_list(const std::string& directory) = 0;
  virtual int do_make_directory(const std::string& path) = 0;  // these four: 0 or a code
  virtual int do_rename(const std::string& from, const std::string& to) = 0;
  virtual int do_remove(const std::string& path) = 0;
  virtual int do_sync_directory(const std::string& path) = 0;
  virtual IoOutcome<std::unique_ptr<Mapping>> do_map(const std::string& path) = 0;
  virtual IoOutcome<Volume> do_volume(const std::string& path) = 0;
};

std::unique_ptr<FileSystem> make_posix_file_system();

// ---- built on the seam
// ---------------------------------------------------------------------------------------

// "a/b" -> "a", "b" -> ".", "/b" -> "/".
std::string parent_directory(const std::string& path);

// Makes `path` and the folders above it that are missing, each of them durable.
void make_directories(FileSystem& files, const std::string& path);

// Removes a file or a folder with all it holds. False when there was none.
bool remove_tree(FileSystem& files, const std::string& path);

// The whole content. A missing file throws.
std::string read_file(FileSystem& files, const std::string& path);

// Makes `content` the file's content such that a crash at any instant leaves the old file or the new one,
// whole; it is durable on return. Writes "<path>.tmp" first, which a failure removes and a crash may leave
// behind: one writer per path at a time.
void replace_file(FileSystem& files, const std::string& path, std::span<const std::byte> content);
void replace_file(FileSystem& files, const std::string& path, std::string_view content);

}  // namespace strata
