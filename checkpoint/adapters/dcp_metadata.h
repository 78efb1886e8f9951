// SPDX-License-Identifier: Apache-2.0
// The .metadata file of a checkpoint of torch.distributed.checkpoint (DCP): a pickle that says which
// rectangle of which tensor lies in which part of which file. Read as data; nothing is run. Source:
// torch/distributed/checkpoint/metadata.py and filesystem.py (_StorageInfo) of PyTorch 2.x.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file_system.h"

namespace strata {

// Bytes of a file: an archive of torch.save of its own.
struct DcpItem {
  size_t file = 0;  // index into files
  int64_t offset = 0, bytes = 0;
};

struct DcpChunk {
  Rect rect;
  DcpItem item;
};

struct DcpMetadata {
  struct Tensor {
    TensorSpec logical;
    std::vector<DcpChunk>
        chunks;  // not empty, inside the tensor; that they cover it once is for the caller to prove
  };
  struct Value {
    std::string name;
    DcpItem item;
  };
  std::vector<std::string> files;  // plain names
  std::vector<Tensor> tensors;     // in the file's order
  std::vector<Value> values;       // everything that is no tensor
};

inline constexpr std::string_view kDcpMetadataName = ".metadata";

// Throws Error(model): form, types, names that leave the folder, a chunk that lies nowhere or outside its
// tensor. Takes at most 64 MiB or about thirty times the file, whichever is more, and never more than 512
// MiB.
DcpMetadata read_dcp_metadata(FileSystem& files, const std::string& folder);

}  // namespace strata
