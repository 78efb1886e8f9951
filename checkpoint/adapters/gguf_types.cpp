// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/gguf_types.h"

#include <fmt/format.h>

namespace strata {
namespace {

struct Row {
  uint32_t ggml_type;
  std::string_view name;
  std::optional<ElementType> type = std::nullopt;
};

constexpr Row kRows[] = {
    {0, "F32", ElementType::f32},
    {1, "F16", ElementType::f16},
    {2, "Q4_0"},
    {3, "Q4_1"},
    {6, "Q5_0"},
    {7, "Q5_1"},
    {8, "Q8_0"},
    {9, "Q8_1"},
    {10, "Q2_K"},
    {11, "Q3_K"},
    {12, "Q4_K"},
    {13, "Q5_K"},
    {14, "Q6_K"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {20, "IQ4_NL"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {23, "IQ4_XS"},
    {24, "I8", ElementType::i8},
    {25, "I16", ElementType::i16},
    {26, "I32", ElementType::i32},
    {27, "I64", ElementType::i64},
    {28, "F64", ElementType::f64},
    {29, "IQ1_M"},
    {30, "BF16", ElementType::bf16},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {39, "MXFP4"},
};

}  // namespace

std::optional<ElementType> gguf_element_type(uint32_t ggml_type) {
  for (const Row& row : kRows)
    if (row.ggml_type == ggml_type) return row.type;
  return std::nullopt;
}

std::optional<uint32_t> gguf_type_of(ElementType type) {
  for (const Row& row : kRows)
    if (row.type == type) return row.ggml_type;
  return std::nullopt;
}

const BlockFormat* gguf_block_format(uint32_t ggml_type) {
  for (const BlockFormat* format : block_formats())
    if (format->ggml_type == ggml_type) return format;
  return nullptr;
}

std::string gguf_type_name(uint32_t ggml_type) {
  for (const Row& row : kRows)
    if (row.ggml_type == ggml_type) return std::string(row.name);
  return fmt::format("type {}", ggml_type);
}

}  // namespace strata
