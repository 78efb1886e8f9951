// SPDX-License-Identifier: Apache-2.0
// The logical tensors that a model consists of: what an adapter looks for under a foreign format's names.
#pragma once

#include <string>
#include <vector>

#include "core/nn/model.h"
#include "core/tensor/shape.h"

namespace strata {

struct ModelTensor {
  std::string name, role;
  Shape shape;
};

// In the model's order, each once.
std::vector<ModelTensor> model_tensors(const ModelSpec& spec);

// Throws Error(model): `faults` are differences between what is stored and what the model consists of.
[[noreturn]] void refuse_tensors(const std::vector<std::string>& faults, const std::string& where);

}  // namespace strata
