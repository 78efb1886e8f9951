// SPDX-License-Identifier: Apache-2.0
#include "core/io/memory_file_system.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/check.h"
#include "core/io/async_io.h"
#include "core/io/chance.h"
#include "core/io/memory_backend.h"
#include "core/io/memory_tree.h"

namespace strata {

// What the file system and its open files share. Everything goes through call().
class MemoryFileSystem::State {
 public:
  explicit State(const Options& options)
      : options(options), tree(options.block_bytes), chance(options.seed) {}

  // Runs one operation under the lock, after the faults meant for it. The body gets those that shape a
  // transfer.
  template <typename Body>
  int64_t call(IoCall kind, const std::string& path, Body body) {
    std::unique_lock lock(mutex);
    if (crashed) return -kCrashed;
    const FaultPlan::Outcome fault = plan.next(kind, path);
    if (fault.delay.count() > 0) {
      lock.unlock();
      std::this_thread::sleep_for(fault.delay);
      lock.lock();
      if (crashed) return -kCrashed;
    }
    if (fault.code != 0) return -fault.code;
    if (!fault.crash) return body(fault);
    if (chance.coin()) body(fault);
    crashed = true;
    return -kCrashed;
  }

  bool survives() {
    switch (options.survival) {
      case Survival::none:
        return false;
      case Survival::all:
        return true;
      case Survival::by_seed:
        return chance.coin();
    }
    return false;
  }

  // How many of the wanted bytes a transfer moves.
  int64_t moved(int64_t bytes, int64_t unit, const FaultPlan::Outcome& fault) {
    const int64_t units = bytes / unit;
    return fault.short_transfer && units > 1 ? unit * (1 + chance.below(units - 1)) : bytes;
  }

  void flip_bit(std::span<std::byte> bytes) {
    const int64_t bit = chance.below(std::ssize(bytes) * 8);
    bytes[static_cast<size_t>(bit / 8)] ^= std::byte{1} << (bit % 8);
  }

  const Options options;
  const MemoryContent::Survives survives_now = [this] { return survives(); };
  mutable std::mutex mutex;  // guards what follows
  MemoryTree tree;
  FaultPlan plan;
  Chance chance;
  bool crashed = false;
  int boots = 0;
};

class MemoryFileSystem::OpenFile : public File {
 public:
  OpenFile(std::shared_ptr<State> state, MemoryTree::NodeRef node, std::string path, OpenMode mode,
           bool direct)
      : File(std::move(path), direct,
             direct ? Alignment{state->options.block_bytes, state->options.block_bytes} : Alignment{}),
        state_(std::move(state)),
        node_(std::move(node)),
        boots_(state_->boots),
        writable_(mode != OpenMode::read && mode != OpenMode::read_plain) {}

  int64_t read_once(int64_t offset, std::span<std::byte> into) override {
    return call(IoCall::read, [&](const FaultPlan::Outcome& fault) -> int64_t {
      if (!aligned(offset, into.data(), std::ssize(into))) return -EINVAL;
      const int64_t there = std::clamp<int64_t>(node_->content.size() - offset, 0, std::ssize(into));
      const int64_t bytes = state_->moved(there, alignment().offset, fault);
      if (bytes == 0) return 0;
      std::memcpy(into.data(), node_->content.bytes().data() + offset, static_cast<size_t>(bytes));
      if (fault.flip_bit) state_->flip_bit(into.first(bytes));
      return bytes;
    });
  }

  int64_t write_once(int64_t offset, std::span<const std::byte> from) override {
    return call(IoCall::write, [&](const FaultPlan::Outcome& fault) -> int64_t {
      if (!writable_) return -EBADF;
      if (!aligned(offset, from.data(), std::ssize(from))) return -EINVAL;
      const int64_t unit = alignment().offset;
      int64_t bytes = state_->moved(std::ssize(from), unit, fault);
      bytes = std::min(bytes, room_for_end(offset + bytes) - offset) / unit * unit;
      if (bytes <= 0) return -ENOSPC;
      std::vector<std::byte> stored(from.begin(), from.begin() + bytes);
      if (fault.flip_bit) state_->flip_bit(stored);
      node_->content.write(offset, stored, state_->survives_now);
      return bytes;
    });
  }

  int descriptor() const override { return -1; }

 protected:
  int64_t do_sync() override {
    return call(IoCall::sync, [&](const auto&) -> int64_t {
      node_->content.sync();
      return 0;
    });
  }
  int64_t do_size() override {
    return call(IoCall::size, [&](const auto&) { return node_->content.size(); });
  }
  int64_t do_truncate(int64_t bytes) override {
    return call(IoCall::truncate, [&](const auto&) -> int64_t {
      if (!writable_) return -EBADF;
      if (room_for_end(bytes) < bytes) return -ENOSPC;
      node_->content.resize(bytes, state_->survives_now);
      return 0;
    });
  }
  int64_t do_preallocate(int64_t bytes) override {
    return call(IoCall::preallocate, [&](const auto&) -> int64_t {
      if (!writable_) return -EBADF;
      if (room_for_end(bytes) < bytes) return -ENOSPC;
      if (bytes > node_->content.size()) node_->content.resize(bytes, state_->survives_now);
      return 1;
    });
  }

 private:
  template <typename Body>
  int64_t call(IoCall kind, Body body) {
    return state_->call(kind, path(), [&](const FaultPlan::Outcome& fault) -> int64_t {
      return state_->boots == boots_ ? body(fault) : -kCrashed;
    });
  }

  bool aligned(int64_t offset, const void* memory, int64_t bytes) const {
    const Alignment need = alignment();
    return offset % need.offset == 0 && bytes % need.offset == 0 &&
           reinterpret_cast<uintptr_t>(memory) % static_cast<uintptr_t>(need.memory) == 0;
  }

  // How long this file may get, up to `end`.
  int64_t room_for_end(int64_t end) const {
    const int64_t size = node_->content.size();
    if (end <= size) return end;
    const int64_t free = std::max<int64_t>(state_->options.capacity_bytes - state_->tree.file_bytes(), 0);
    return end - size <= free ? end : size + free;
  }

  std::shared_ptr<State> state_;
  MemoryTree::NodeRef node_;
  int boots_;
  bool writable_;
};

namespace {

class MemoryMapping : public Mapping {
 public:
  explicit MemoryMapping(std::span<const std::byte> bytes) : bytes_(bytes.begin(), bytes.end()) {}
  std::span<const std::byte> bytes() const override { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

int code_of(int64_t result) { return result < 0 ? static_cast<int>(-result) : 0; }

}  // namespace

MemoryFileSystem::MemoryFileSystem() : MemoryFileSystem(Options{}) {}

MemoryFileSystem::MemoryFileSystem(const Options& options) : state_(std::make_shared<State>(options)) {
  check(options.block_bytes >= 1, "[memory file system] blocks of {} bytes", options.block_bytes);
}

MemoryFileSystem::~MemoryFileSystem() = default;

void MemoryFileSystem::inject(IoFault fault) {
  const std::lock_guard lock(state_->mutex);
  state_->plan.add(std::move(fault));
}

void MemoryFileSystem::clear_faults() {
  const std::lock_guard lock(state_->mutex);
  state_->plan.clear();
}

int64_t MemoryFileSystem::calls() const {
  const std::lock_guard lock(state_->mutex);
  return state_->plan.calls();
}

void MemoryFileSystem::crash() {
  const std::lock_guard lock(state_->mutex);
  state_->crashed = true;
}

bool MemoryFileSystem::crashed() const {
  const std::lock_guard lock(state_->mutex);
  return state_->crashed;
}

void MemoryFileSystem::reboot() {
  const std::lock_guard lock(state_->mutex);
  check(state_->crashed, "[memory file system] reboot without a crash");
  state_->tree.lose_power(state_->survives_now);
  state_->plan.clear();
  state_->crashed = false;
  ++state_->boots;
}

IoOutcome<std::unique_ptr<File>> MemoryFileSystem::do_open(const std::string& path, OpenMode mode,
                                                           Caching caching) {
  std::unique_ptr<File> file;
  const int64_t result = state_->call(IoCall::open, path, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(path);
    if (place.code != 0) return -place.code;
    MemoryTree::NodeRef node = place.node;
    const bool may_make = mode == OpenMode::create || mode == OpenMode::create_new;
    if (!node) {
      if (!may_make) return -ENOENT;
      node = std::make_shared<MemoryNode>(false, state_->options.block_bytes);
      state_->tree.put(place, node);
    } else {
      if (mode == OpenMode::create_new) return -EEXIST;
      if (node->directory) return -EISDIR;
      if (mode == OpenMode::create) node->content.resize(0, state_->survives_now);
    }
    file = std::make_unique<OpenFile>(state_, node, path, mode, caching != Caching::buffered);
    return 0;
  });
  return {std::move(file), code_of(result)};
}

IoOutcome<FileInfo> MemoryFileSystem::do_info(const std::string& path) {
  FileInfo info;
  const int64_t result = state_->call(IoCall::info, path, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(path);
    if (place.code != 0) return -place.code;
    if (!place.node) return -ENOENT;
    if (place.node->directory) {
      info.type = FileInfo::Type::directory;
    } else {
      info.bytes = place.node->content.size();
      info.direct = Alignment{state_->options.block_bytes, state_->options.block_bytes};
    }
    return 0;
  });
  return {info, code_of(result)};
}

IoOutcome<bool> MemoryFileSystem::do_is_link(const std::string& path) { return {false, do_info(path).code}; }

IoOutcome<std::vector<std::string>> MemoryFileSystem::do_list(const std::string& directory) {
  std::vector<std::string> names;
  const int64_t result = state_->call(IoCall::list, directory, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(directory);
    if (place.code != 0) return -place.code;
    if (!place.node) return -ENOENT;
    if (!place.node->directory) return -ENOTDIR;
    for (const auto& [name, node] : place.node->names) names.push_back(name);
    return 0;
  });
  return {std::move(names), code_of(result)};
}

int MemoryFileSystem::do_make_directory(const std::string& path) {
  return code_of(state_->call(IoCall::make_directory, path, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(path);
    if (place.code != 0) return -place.code;
    if (place.node) return -EEXIST;
    state_->tree.put(place, std::make_shared<MemoryNode>(true, state_->options.block_bytes));
    return 0;
  }));
}

int MemoryFileSystem::do_rename(const std::string& from, const std::string& to) {
  return code_of(state_->call(IoCall::rename, from, [&](const auto&) -> int64_t {
    const MemoryTree::Place source = state_->tree.find(from), target = state_->tree.find(to);
    if (source.code != 0) return -source.code;
    if (target.code != 0) return -target.code;
    if (!source.node) return -ENOENT;
    if (!source.folder || !target.folder) return -EBUSY;
    if (source.node == target.node) return 0;
    if (target.node && target.node->directory != source.node->directory)
      return target.node->directory ? -EISDIR : -ENOTDIR;
    if (target.node && !target.node->names.empty()) return -ENOTEMPTY;
    if (MemoryTree::holds(source.node, target.folder)) return -EINVAL;  // a folder into itself
    state_->tree.move(source, target);
    return 0;
  }));
}

int MemoryFileSystem::do_remove(const std::string& path) {
  return code_of(state_->call(IoCall::remove, path, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(path);
    if (place.code != 0) return -place.code;
    if (!place.node) return -ENOENT;
    if (!place.folder) return -EBUSY;
    if (!place.node->names.empty()) return -ENOTEMPTY;
    state_->tree.remove(place);
    return 0;
  }));
}

int MemoryFileSystem::do_sync_directory(const std::string& path) {
  return code_of(state_->call(IoCall::sync_directory, path, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(path);
    if (place.code != 0) return -place.code;
    if (!place.node) return -ENOENT;
    if (!place.node->directory) return -ENOTDIR;
    state_->tree.sync(place.node);
    return 0;
  }));
}

IoOutcome<std::unique_ptr<Mapping>> MemoryFileSystem::do_map(const std::string& path) {
  std::unique_ptr<Mapping> mapping;
  const int64_t result = state_->call(IoCall::map, path, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(path);
    if (place.code != 0) return -place.code;
    if (!place.node) return -ENOENT;
    if (place.node->directory) return -EISDIR;
    mapping = std::make_unique<MemoryMapping>(place.node->content.bytes());
    return 0;
  });
  return {std::move(mapping), code_of(result)};
}

IoOutcome<Volume> MemoryFileSystem::do_volume(const std::string& path) {
  Volume volume = {.type = "memory", .total_bytes = state_->options.capacity_bytes};
  const int64_t result = state_->call(IoCall::volume, path, [&](const auto&) -> int64_t {
    const MemoryTree::Place place = state_->tree.find(path);
    if (place.code != 0 || !place.node) return -(place.code ? place.code : ENOENT);
    volume.free_bytes = std::max<int64_t>(volume.total_bytes - state_->tree.file_bytes(), 0);
    return 0;
  });
  return {std::move(volume), code_of(result)};
}

std::unique_ptr<AsyncIo> MemoryFileSystem::make_async_io(const AsyncIoOptions& options) {
  return std::make_unique<AsyncIo>(make_memory_backend(state_->options.seed), options.depth,
                                   "files in memory, for tests");
}

}  // namespace strata
