// SPDX-License-Identifier: Apache-2.0
// What DeepSpeed's model states say about parameters: their names and shapes, group by group, in the order in
// which flat buffers hold them.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/adapters/pickle.h"
#include "core/tensor/shape.h"

namespace strata {

struct DeepspeedParameter {
  std::string name;
  Shape shape;
};

// `key` of the pickled dict: [{"name": torch.Size((3, 4)), ...}, ...], or one such dict, or nothing. Throws
// Error(model); `where` is the file.
std::vector<std::vector<DeepspeedParameter>> read_deepspeed_shapes(const Pickle& pickle, std::string_view key,
                                                                   const std::string& where);

}  // namespace strata
