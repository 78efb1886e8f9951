// SPDX-License-Identifier: Apache-2.0
// Records of a run that looks like one, and a folder that goes away: shared by the tests of this folder.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "core/io/file_system.h"
#include "core/io/memory_file_system.h"
#include "launch/metrics/step_record.h"

namespace strata {

inline StepRecord sample_step(int64_t step, int64_t total = 300) {
  const double x = static_cast<double>(step);
  // A decaying curve with a wobble that never repeats: the digits are as long as real losses have them.
  const double loss = 1.2 + 4.3 * std::exp(-x / 40) + 0.05 * std::sin(12.9898 * x);
  StepRecord r{.step = step,
               .steps_total = total,
               .loss = loss,
               .grad_norm = 0.6 + 2 / std::sqrt(x) + 0.2 * std::sin(78.233 * x),
               .lr = 3e-4 * std::min(1.0, x / 20) * (0.55 + 0.45 * std::cos(3.14159 * x / double(total))),
               .tokens = 8192,
               .tokens_seen = 8192 * step,
               .step_seconds = 2.5 + 0.1 * std::sin(3.7 * x),
               .mfu = 0.41,
               .flops = 6e12};
  r.memory = {.device = {}, .host = {512 << 20, 600 << 20}, .nvme = {int64_t{3} << 30, int64_t{3} << 30}};
  r.waits_ms = {{"disk", 1.5}, {"compute", 0.25}};
  if (step % 50 == 0) r.valid_loss = loss + 0.1;
  return r;
}

// A folder and the file system it lies on. Names are relative to it.
template <typename Files>
class Folder {
 public:
  Folder(std::string path, std::unique_ptr<Files> files) : path_(std::move(path)), files_(std::move(files)) {}

  Files& files() const { return *files_; }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  std::string read(const std::string& name) const { return read_file(*files_, *this / name); }
  void write(const std::string& name, const std::string& text) const {
    replace_file(*files_, *this / name, text);
  }
  bool has(const std::string& name) const { return files_->info(*this / name).has_value(); }

 private:
  std::string path_;
  std::unique_ptr<Files> files_;
};

// In memory: fast, and faults can be injected.
class MemoryFolder : public Folder<MemoryFileSystem> {
 public:
  explicit MemoryFolder(const MemoryFileSystem::Options& options = {})
      : Folder("/run", std::make_unique<MemoryFileSystem>(options)) {
    make_directories(files(), path());
  }
};

// On the machine's own file system, gone with the object.
class TempFolder : public Folder<FileSystem> {
 public:
  TempFolder() : Folder(make(), make_posix_file_system()) {}
  ~TempFolder() { std::filesystem::remove_all(path()); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

 private:
  static std::string make() {
    std::string name = (std::filesystem::temp_directory_path() / "strata_metrics_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder " + name);
    return name;
  }
};

}  // namespace strata
