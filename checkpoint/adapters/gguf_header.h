// SPDX-License-Identifier: Apache-2.0
// What stands in front of the tensors of a GGUF file: typed keys and values, and where each tensor lies.
// Versions 2 and 3, little-endian. Layout: ggml, docs/gguf.md.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/io/file.h"
#include "core/tensor/shape.h"

namespace strata {

// The number of a value's type in the file.
enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

// An array stays in the file until somebody wants it: a vocabulary is most of a header.
struct GgufArray {
  GgufType type = GgufType::u8;
  int64_t count = 0, offset = 0, bytes = 0;
};

struct GgufTensor {
  std::string name;
  Shape shape;         // rows first, as everywhere here (the file has the fastest dim first)
  uint32_t type = 0;   // ggml's number
  int64_t offset = 0;  // in the file
};

struct GgufHeader {
  uint32_t version = 0;
  int64_t alignment = 32;
  nlohmann::json values = nlohmann::json::object();  // all but arrays, by their full key
  std::map<std::string, GgufArray> arrays;
  std::vector<GgufTensor> tensors;
};

// At most 4096 keys, 100,000 tensors and 8 MiB of texts, each once; lengths lie in the file. Throws
// Error(model). Offsets are not compared with the sizes of tensors here: types are the caller's.
GgufHeader read_gguf_header(File& file);

// The elements of an array of texts, or of numbers of any type. Throws Error(model) when it is of the other
// kind or has more than `most` elements; texts together hold at most 64 MiB.
std::vector<std::string> read_gguf_texts(File& file, const GgufArray& array, int64_t most);
std::vector<double> read_gguf_numbers(File& file, const GgufArray& array, int64_t most);

}  // namespace strata
