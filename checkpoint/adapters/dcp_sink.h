// SPDX-License-Identifier: Apache-2.0
// Writes a checkpoint that torch.distributed.checkpoint (DCP) of PyTorch 2.3 and newer loads: .metadata and
// __0_<i>.distcp. A piece of a tensor is a part of its own (a "chunk"), as if a rank had held it. Keys are
// those of a state dict {"model": ..., "optim": {"state": ...}, "step": n}: "model.<name>" and
// "optim.state.<name>.exp_avg". Sources as in dcp_metadata.h.
#pragma once

#include <memory>

#include "checkpoint/adapters/folder_sink.h"
#include "checkpoint/adapters/torch_archive_writer.h"

namespace strata {

class DcpSink : public FolderSink {
 public:
  struct Options {
    int64_t piece_bytes = int64_t{32} << 20;  // of a part
    int64_t file_bytes = int64_t{5} << 30;    // a new file begins before it is passed
    int64_t sync_bytes = int64_t{256} << 20;  // that a power cut may cost
    bool keep_partial = false;                // without commit(): leave what was written, for another try
    std::string identity = {};                // what the tensors come from: another one starts anew
    // Keys are the tensors' names as they are, and nothing is added to them but `objects`: other keys, and
    // what torch.save makes of their values.
    bool plain_keys = false;
    std::vector<std::pair<std::string, std::string>> objects = {};
  };

  DcpSink(FileSystem& files, std::string path, const Options& options);

  // Without plain_keys, an integer "step" of `metadata` is written as such, and as every parameter's step
  // where there are moments. The assets lie beside.
  void declare(std::vector<TensorSpec> tensors, const nlohmann::json& metadata,
               std::vector<Asset> assets) override;

 protected:
  void store(size_t tensor, size_t number, const Rect& piece, std::span<const std::byte> bytes) override;
  void sync() override;
  void complete() override;

 private:
  struct Place {
    size_t file;
    int64_t offset;
  };
  // What is no tensor of the source: small, and written when the rest is.
  struct Value {
    std::vector<std::string> path;  // in the state dict
    bool tensor = false;            // a number as a tensor; or as any object
    std::string archive;
    Place place;
  };
  void plan_values(const nlohmann::json& metadata);
  std::string make_metadata() const;

  Options options_;
  std::vector<std::vector<Place>> places_;  // by tensor and piece
  std::vector<Value> values_;
  std::vector<std::string> names_;  // of files
  std::vector<std::unique_ptr<File>> opened_;
};

// The path in the state dict of a tensor: {"optim", "state", "norm.weight", "exp_avg"}.
std::vector<std::string> dcp_path(const TensorSpec& tensor);

}  // namespace strata
