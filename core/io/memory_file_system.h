// SPDX-License-Identifier: Apache-2.0
// A file system in memory for tests: it loses un-synced bytes and names in a simulated power cut, fills up,
// and injects faults at chosen calls. Whoever uses FileSystem and AsyncIo runs on it unchanged.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "core/io/fault_plan.h"
#include "core/io/file_system.h"

namespace strata {

class MemoryFileSystem : public FileSystem {
 public:
  // What a crash does to a write that was not synced, or to a name whose folder was not.
  enum class Survival : uint8_t {
    none,     // all are lost
    all,      // none is lost: the process was killed, the machine runs on
    by_seed,  // any subset is lost, block by block and name by name (a rename is one change)
  };
  struct Options {
    int64_t capacity_bytes = std::numeric_limits<int64_t>::max();  // sum of file sizes; beyond: ENOSPC
    int64_t block_bytes = 512;  // written or lost as a whole; alignment of direct files
    Survival survival = Survival::by_seed;
    uint64_t seed = 0;
  };

  MemoryFileSystem();
  explicit MemoryFileSystem(const Options& options);
  ~MemoryFileSystem() override;

  void inject(IoFault fault);
  void clear_faults();
  // Calls made so far, of this class and of its files; a crash at the n-th is inject({.kind = crash, .at =
  // n}).
  int64_t calls() const;

  // Power off: every call fails with kCrashed until reboot().
  void crash();
  bool crashed() const;
  // Power on again, with what survived. Files opened before stay dead; faults are cleared.
  void reboot();

  // Requests end in an order drawn from the seed, and take effect only then; options.engine and threads are
  // ignored.
  std::unique_ptr<AsyncIo> make_async_io(const AsyncIoOptions& options) override;

 protected:
  IoOutcome<std::unique_ptr<File>> do_open(const std::string& path, OpenMode mode, Caching caching) override;
  IoOutcome<FileInfo> do_info(const std::string& path) override;
  IoOutcome<bool> do_is_link(const std::string& path) override;  // there are none
  IoOutcome<std::vector<std::string>> do_list(const std::string& directory) override;
  int do_make_directory(const std::string& path) override;
  int do_rename(const std::string& from, const std::string& to) override;
  int do_remove(const std::string& path) override;
  int do_sync_directory(const std::string& path) override;
  IoOutcome<std::unique_ptr<Mapping>> do_map(const std::string& path) override;
  IoOutcome<Volume> do_volume(const std::string& path) override;

 private:
  class State;
  class OpenFile;
  std::shared_ptr<State> state_;  // shared with open files
};

}  // namespace strata
