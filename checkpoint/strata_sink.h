// SPDX-License-Identifier: Apache-2.0
// Writes a checkpoint of Strata from one process: the end of a conversion. Ranks that save together use
// saver.h.
#pragma once

#include <atomic>
#include <map>
#include <memory>

#include "checkpoint/manifest.h"
#include "checkpoint/shard_writer.h"
#include "checkpoint/write_folder.h"

namespace strata {

class StrataSink : public TensorSink {
 public:
  struct Options {
    int64_t step = 0;
    int64_t block_bytes = int64_t{4} << 20;
    int64_t piece_bytes = int64_t{32} << 20;  // of one write, and of a fragment
    int64_t shard_bytes = int64_t{8} << 30;   // a new shard begins beyond it
    int64_t sync_bytes = int64_t{256} << 20;  // that a power cut may cost
    bool keep_partial = false;                // without commit(): leave what was written, for another try
    std::string identity = {};                // what the tensors come from: another one starts anew
  };

  // `path` is the folder to make; it must not be there. Until commit() everything lies in "<path>.partial":
  // one that is there is gone on with when what is declared is the same, each piece read again, else emptied.
  StrataSink(FileSystem& files, std::string path, const Options& options);
  ~StrataSink() override;

  void declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
               std::vector<Asset> assets) override;
  std::vector<Rect> pieces(size_t tensor) const override;
  std::optional<Digest> kept(size_t tensor, size_t piece) const override;
  void write(size_t tensor, const Rect& piece, std::span<const std::byte> bytes) override;
  std::string finish() override;
  void commit() override;

 private:
  struct Place {
    size_t shard, entry;
  };

  FileSystem& files_;
  Options options_;
  WriteFolder folder_;
  Manifest manifest_;
  std::vector<Asset> assets_;
  std::vector<std::unique_ptr<ShardWriter>> shards_;
  std::vector<std::vector<Rect>> pieces_;             // by tensor, in row-major order
  std::vector<std::vector<Place>> places_;            // alike
  std::map<std::pair<size_t, size_t>, Digest> kept_;  // by tensor and piece
  std::atomic<int64_t> unwritten_{0};
  bool finished_ = false, committed_ = false;
};

}  // namespace strata
