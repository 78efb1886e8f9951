// SPDX-License-Identifier: Apache-2.0
// Reads a checkpoint of torch.distributed.checkpoint (DCP): a folder with .metadata and *.distcp files, saved
// by any number of ranks. Also the tensors of Megatron's torch_dist format, under Megatron's names.
#pragma once

#include "checkpoint/adapters/assembled_source.h"
#include "core/io/file_system.h"

namespace strata {

class DcpSource : public AssembledSource {
 public:
  // Opens every part: that it is an archive of a tensor of the right type and shape, that no two parts share
  // bytes and that parts cover their tensors once is proved here. metadata() is {"values": {"name": "what
  // else there was, as text"}}, and "step" where that is known. Throws Error(model). `files` lives longer.
  enum class Names {
    as_stored,
    in_state_dict,  // "model.norm.weight" is norm.weight: what DcpSink was given
  };
  DcpSource(FileSystem& files, const std::string& folder, Names names = Names::as_stored);

  static bool recognises(FileSystem& files, const std::string& path);

  // The step as torch's optimizers keep it for every parameter: told once.
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  class Chunks;  // each part as a tensor of its own
  std::vector<std::string> left_out_;
};

}  // namespace strata
