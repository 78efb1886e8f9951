// SPDX-License-Identifier: Apache-2.0
// PyTorch's names of element types: dtypes, and the classes of storages that torch.save names. Source:
// torch/storage.py (_dtype_to_storage_type_map).
#pragma once

#include <optional>
#include <string_view>

#include "checkpoint/element_type.h"

namespace strata {

struct TorchType {
  std::string_view storage;  // "torch.FloatStorage"; empty for types that are stored as plain bytes
  std::string_view dtype;    // "torch.float32"
  ElementType type;
};

const TorchType& torch_type(ElementType type);

// Nothing for a type that no checkpoint of ours holds.
std::optional<ElementType> element_type_of_torch(std::string_view dtype);
std::optional<ElementType> element_type_of_torch_storage(std::string_view storage);

}  // namespace strata
