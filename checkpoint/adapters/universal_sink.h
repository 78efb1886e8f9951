// SPDX-License-Identifier: Apache-2.0
// Writes a universal checkpoint (version 0.4) that DeepSpeed's engine loads with load_universal_checkpoint,
// on any number of ranks and at any ZeRO stage: <step>/zero/<parameter>/{fp32,exp_avg,exp_avg_sq,step}.pt, a
// file a parameter and state, whole. Source: DeepSpeed's checkpoint/universal_checkpoint.py,
// runtime/base_optimizer.py and runtime/zero/stage3.py, 0.19.
#pragma once

#include <map>
#include <mutex>
#include <set>

#include "checkpoint/adapters/folder_sink.h"
#include "checkpoint/adapters/torch_archive_writer.h"

namespace strata {

class UniversalSink : public FolderSink {
 public:
  struct Options {
    int64_t piece_bytes = int64_t{32} << 20;  // of one write
    int64_t sync_bytes = int64_t{256} << 20;  // that a power cut may cost
    bool keep_partial = false;                // without commit(): leave what was written, for another try
    std::string identity = {};                // what the tensors come from: another one starts anew
  };

  // `path` is the folder to make, in which latest_universal names the step's.
  UniversalSink(FileSystem& files, std::string path, const Options& options);

  // f32 alone, which is what DeepSpeed keeps; names that can be folders. "step" of `metadata` is the step,
  // else 0. The assets lie beside latest_universal.
  void declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
               std::vector<Asset> assets) override;

 protected:
  void store(size_t tensor, size_t number, const Rect& piece, std::span<const std::byte> bytes) override;
  void sync() override;
  void complete() override;

 private:
  struct Target {
    std::string name;  // in the folder: "global_step5/zero/norm.weight/fp32.pt"
    TorchArchiveLayout layout;
  };
  uint32_t crc_of(size_t tensor) const;
  std::unique_ptr<File> file(const std::string& name) const;
  std::string optimizer_state() const;
  std::string model_states() const;

  int64_t step_ = 0;
  std::vector<Target> targets_;                         // by tensor
  mutable std::mutex mutex_;                            // guards what follows
  std::map<std::pair<size_t, size_t>, uint32_t> crcs_;  // of pieces written now
  std::set<size_t> unsynced_;                           // tensors
};

}  // namespace strata
