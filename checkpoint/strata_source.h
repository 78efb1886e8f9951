// SPDX-License-Identifier: Apache-2.0
// Reads a checkpoint of Strata: any rectangle of any tensor, whatever layout wrote it. HDF5 is not used:
// offsets come from the manifest, whose hash was checked, and every byte handed out passed its block's
// checksum.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "checkpoint/manifest.h"

namespace strata {

class StrataSource : public TensorSource {
 public:
  struct Options {
    Caching caching = Caching::prefer_direct;
    size_t open_shards = 64;  // files kept open
  };

  // Reads and checks the manifest and the sizes of all files. Throws Error(model).
  StrataSource(FileSystem& files, std::string folder, const Options& options);
  StrataSource(FileSystem& files, std::string folder) : StrataSource(files, std::move(folder), Options{}) {}
  ~StrataSource() override;

  const Manifest& manifest() const { return manifest_; }

  std::string format() const override;
  std::string path() const override { return folder_; }
  std::span<const TensorSpec> tensors() const override { return tensors_; }
  const nlohmann::json& metadata() const override { return manifest_.meta; }
  std::vector<Asset> assets() const override;
  std::optional<Digest> stored_digest(size_t tensor) const override {
    return manifest_.tensors[tensor].digest;
  }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override;
  std::vector<Rect> pieces(size_t tensor, int64_t bytes) const override;

  // The index of a tensor, or nothing.
  std::optional<size_t> find(const std::string& name, const std::string& state) const;

  // Reads every byte of every file and compares with checksums, hashes and digests. What is wrong, in words,
  // one fault a line with tensor, block and file; empty when all is well. `progress` hears of bytes done.
  std::vector<std::string> verify(const std::function<void(int64_t bytes)>& progress = nullptr) const;

 private:
  struct Shard;
  class Blocks;
  std::shared_ptr<Shard> shard(size_t file) const;
  [[noreturn]] void damaged(size_t tensor, const ManifestFragment& fragment, int64_t block,
                            uint32_t found) const;

  FileSystem& files_;
  std::string folder_;
  Options options_;
  Manifest manifest_;
  std::vector<TensorSpec> tensors_;
  std::vector<size_t> by_name_;                                          // sorted by name and state
  mutable std::mutex mutex_;                                             // guards what follows
  mutable std::vector<std::pair<size_t, std::shared_ptr<Shard>>> open_;  // the last used last
};

}  // namespace strata
