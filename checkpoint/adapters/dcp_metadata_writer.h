// SPDX-License-Identifier: Apache-2.0
// Makes the .metadata file of a checkpoint of torch.distributed.checkpoint: a pickle of exactly the classes
// that dcp_metadata.h reads. Attributes that came later than PyTorch 2.3 are left out: newer versions take
// their defaults.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/adapters/dcp_metadata.h"

namespace strata {

struct DcpEntry {
  std::vector<std::string> path;  // in the state dict; the key is its parts joined by '.'
  bool tensor = true;             // or any object, in one part
  ElementType type = ElementType::f32;
  Shape shape;
  std::vector<DcpChunk> chunks;
};

std::string make_dcp_metadata(const std::vector<DcpEntry>& entries, const std::vector<std::string>& files);

}  // namespace strata
