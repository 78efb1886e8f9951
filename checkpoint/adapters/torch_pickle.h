// SPDX-License-Identifier: Apache-2.0
// Tensors in a pickle of torch.save: where their elements lie in which storage.
// Source: torch/_utils.py (_rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter),
// torch/serialization.py.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/adapters/pickle.h"
#include "checkpoint/adapters/torch_types.h"
#include "core/tensor/shape.h"

namespace strata {

struct TorchTensor {
  std::string name;     // path in the pickle
  std::string storage;  // key
  ElementType type = ElementType::f32;
  Shape shape;
  std::array<int64_t, Shape::kMaxRank> strides{};  // in elements
  int64_t first = 0;                               // element of the storage
};

struct TorchContents {
  std::vector<TorchTensor> tensors;
  std::vector<std::pair<std::string, std::string>> values;  // everything else, as text: path and value
};

// Throws Error(model) for a tensor that is none, a type that no checkpoint of ours holds, or a name twice.
TorchContents find_torch_tensors(const Pickle& pickle, const std::string& where);

}  // namespace strata
