// SPDX-License-Identifier: Apache-2.0
// Reads a checkpoint of torch.distributed.checkpoint (DCP): a folder with .metadata and *.distcp files, saved
// by any number of ranks. Also the tensors of Megatron's torch_dist format, under Megatron's names.
#pragma once

#include <memory>

#include "checkpoint/adapters/mapped_source.h"
#include "core/io/file_system.h"

namespace strata {

class DcpSource : public TensorSource {
 public:
  // Opens every part: that it is an archive of a tensor of the right type and shape, that no two parts share
  // bytes and that parts cover their tensors once is proved here. Throws Error(model). `files` lives longer.
  DcpSource(FileSystem& files, const std::string& folder);
  ~DcpSource() override;

  static bool recognises(FileSystem& files, const std::string& path);

  std::string format() const override { return format_; }
  std::string path() const override { return path_; }
  std::span<const TensorSpec> tensors() const override { return whole_->tensors(); }
  // {"values": {"name": "what else there was, as text"}}.
  const nlohmann::json& metadata() const override { return whole_->metadata(); }
  void read(size_t tensor, const Rect& rect, const StridedTarget& into) const override {
    whole_->read(tensor, rect, into);
  }

 private:
  class Chunks;  // each part as a tensor of its own
  std::string path_, format_;
  std::unique_ptr<Chunks> chunks_;
  std::unique_ptr<MappedSource> whole_;
};

}  // namespace strata
