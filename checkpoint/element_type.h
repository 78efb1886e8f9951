// SPDX-License-Identifier: Apache-2.0
// What an element of a stored tensor is. More than a run computes with (core/tensor/dtype.h): a checkpoint
// also carries what other programs wrote. Bytes are little-endian; no conversion happens here.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/tensor/dtype.h"

namespace strata {

enum class ElementType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,  // OCP FP8 E4M3 without infinities ("fn")
  f8_e5m2,
  f8_e8m0,  // a power of two: scales of blocks
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,  // one byte, 0 or 1
};

int64_t size_of(ElementType type);
std::string_view name(ElementType type);  // "f32", "f8_e4m3", "bool": the spelling of manifests
std::optional<ElementType> element_type_named(std::string_view name);

ElementType element_type(DType type);
std::optional<DType> dtype_of(ElementType type);  // nothing when a run has no such type

}  // namespace strata
