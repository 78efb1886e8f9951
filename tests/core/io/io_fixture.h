// SPDX-License-Identifier: Apache-2.0
// What the tests of core/io share: a folder that goes away, memory aligned for direct I/O, bytes that differ
// at every place, and the file systems and engines that every test walks.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/io/async_io.h"
#include "core/io/memory_file_system.h"

namespace strata {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "strata_io_XXXXXX").string();
    check(mkdtemp(path.data()) != nullptr, "[test] no temporary folder at {}", path);
    path_ = path;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// `bytes` bytes that start `skew` bytes after a page boundary.
class Memory {
 public:
  explicit Memory(int64_t bytes, int64_t skew = 0)
      : data_(static_cast<std::byte*>(::operator new (bytes + skew, std::align_val_t{4096}))),
        skew_(skew),
        bytes_(bytes) {}
  ~Memory() { ::operator delete (data_, std::align_val_t{4096}); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::span<std::byte> span() const { return {data_ + skew_, static_cast<size_t>(bytes_)}; }

 private:
  std::byte* data_;
  int64_t skew_, bytes_;
};

inline std::byte pattern_at(uint64_t seed, int64_t i) {
  return static_cast<std::byte>(mix64(seed * 1000003 + static_cast<uint64_t>(i)));
}

inline void fill(std::span<std::byte> bytes, uint64_t seed) {
  for (int64_t i = 0; i < std::ssize(bytes); ++i) bytes[i] = pattern_at(seed, i);
}

inline std::vector<std::byte> pattern(int64_t bytes, uint64_t seed) {
  std::vector<std::byte> result(bytes);
  fill(result, seed);
  return result;
}

inline bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// A file system with a folder in it to work in.
struct Place {
  std::string name;
  std::shared_ptr<FileSystem> files;
  std::string folder;
  std::shared_ptr<TemporaryFolder> owner;
};

inline Place posix_place() {
  auto folder = std::make_shared<TemporaryFolder>();
  return {"posix", make_posix_file_system(), folder->path(), folder};
}

inline Place memory_place(const MemoryFileSystem::Options& options = {}) {
  auto files = std::make_shared<MemoryFileSystem>(options);
  files->make_directory("/work");
  return {"memory", files, "/work", nullptr};
}

// The folder for temporary files may lie where there is no direct I/O (tmpfs of older kernels).
inline bool can_direct(const Place& place) {
  return place.files->open(place.folder + "/probe", OpenMode::create, Caching::prefer_direct)->direct();
}

inline std::vector<Place> all_places() { return {posix_place(), memory_place()}; }

inline std::vector<Place> direct_places() {
  std::vector<Place> places = all_places();
  if (!can_direct(places[0])) {
    std::fprintf(stderr, "no direct I/O in %s: only memory files are tested\n", places[0].folder.c_str());
    places.erase(places.begin());
  }
  return places;
}

// An engine on a file system.
struct Engine {
  Place place;
  AsyncEngine kind;
  std::string name;
};

// Every engine that this machine can run; without io_uring the threads take its place, and a test of its own
// (UringTest) says so.
inline std::vector<Engine> all_engines() {
  return {{posix_place(), AsyncEngine::automatic, "automatic"},
          {posix_place(), AsyncEngine::threads, "threads"},
          {memory_place(), AsyncEngine::automatic, "memory"}};
}

inline std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

template <typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no exception";
}

template <typename Call>
int code_of_error(Call call) {
  try {
    call();
  } catch (const IoError& error) {
    return error.code();
  }
  return 0;
}

}  // namespace strata
