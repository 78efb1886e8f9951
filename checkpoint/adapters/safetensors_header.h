// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: u64 length, that many bytes of JSON, then the tensors' bytes.
// Format: github.com/huggingface/safetensors, README "Format" and Metadata::validate.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/logical.h"
#include "core/io/file.h"

namespace strata {

struct SafetensorsEntry {
  std::string name;
  ElementType type = ElementType::f32;
  Shape shape;
  int64_t begin = 0, end = 0;  // bytes behind the header
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
  int64_t data_offset = 0;  // where the tensors' bytes begin
};

// Refused beyond this, which bounds the memory of reading any file. (The format's own limit is 100 MB; the
// headers of the largest models published are a hundredth of it.)
inline constexpr int64_t kSafetensorsHeaderBytes = int64_t{16} << 20;
inline constexpr size_t kSafetensorsTensors = 200'000;

// Reads and checks everything but the tensors' bytes: sizes against the file before anything is allocated,
// JSON without surprises, types, and that the tensors cover the rest of the file without hole or overlap.
// Throws Error(model).
SafetensorsHeader read_safetensors_header(File& file);

// Length and JSON, padded with blanks so that the tensors' bytes begin at a multiple of 8, and the entries'
// begin and end filled in, one after another.
std::string make_safetensors_header(std::vector<SafetensorsEntry>& entries,
                                    const std::map<std::string, std::string>& metadata);

std::string_view safetensors_dtype(ElementType type);  // "BF16"
std::optional<ElementType> safetensors_type(std::string_view dtype);

}  // namespace strata
