// SPDX-License-Identifier: Apache-2.0
// ggml's types by their numbers in GGUF files: what is read, and the names of those that are not. Source:
// ggml.h, enum ggml_type.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/adapters/gguf_blocks/block_format.h"
#include "checkpoint/element_type.h"

namespace strata {

// Of a type stored as plain numbers.
std::optional<ElementType> gguf_element_type(uint32_t ggml_type);
// The other way; nothing for types that these files do not have.
std::optional<uint32_t> gguf_type_of(ElementType type);
// Of a type stored in blocks that we decode; null for others.
const BlockFormat* gguf_block_format(uint32_t ggml_type);
// "Q6_K", or "type 77".
std::string gguf_type_name(uint32_t ggml_type);

}  // namespace strata
