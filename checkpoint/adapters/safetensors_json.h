// SPDX-License-Identifier: Apache-2.0
// The JSON of a safetensors header, read from the file in small parts straight into the list of tensors:
// neither the text nor a tree of it is ever in memory.
#pragma once

#include "checkpoint/adapters/safetensors_header.h"

namespace strata {

// Of `bytes` at `offset`, which lie in the file. Checks the form alone, not what offsets mean. Throws
// Error(model).
SafetensorsHeader parse_safetensors_json(File& file, int64_t offset, int64_t bytes);

}  // namespace strata
