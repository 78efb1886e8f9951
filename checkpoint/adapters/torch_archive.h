// SPDX-License-Identifier: Apache-2.0
// One archive that torch.save wrote, a file of its own or a part of one: what its pickle says, and where in
// the file each tensor's elements lie. Nothing in it is ever run.
#pragma once

#include <array>
#include <optional>

#include "checkpoint/adapters/pickle.h"
#include "checkpoint/logical.h"
#include "core/io/file.h"

namespace strata {

// Where a tensor's first element lies in the file, and the bytes from an element to the next in each dim.
struct TorchPlace {
  TensorSpec logical;  // named by its path in the pickle; nothing where the tensor is all of it
  int64_t offset = 0;
  std::array<int64_t, Shape::kMaxRank> strides{};
};

struct TorchArchive {
  Pickle pickle;
  std::vector<TorchPlace> tensors;
  std::vector<std::pair<std::string, std::string>> values;  // everything else, as text: path and value
};

// The archive of `bytes` at `offset` of the file; by default all of it. Throws Error(model) also for a tensor
// whose elements are not all there. Names are as the pickle has them: the caller checks them.
TorchArchive read_torch_archive(File& file, int64_t offset = 0, std::optional<int64_t> bytes = std::nullopt);

}  // namespace strata
