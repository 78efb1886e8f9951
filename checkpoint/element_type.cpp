// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/element_type.h"

#include "core/base/check.h"

namespace strata {
namespace {

struct Row {
  ElementType type;
  std::string_view name;
  int64_t bytes;
  std::optional<DType> dtype;
};

constexpr Row kRows[] = {
    {ElementType::f64, "f64", 8, DType::f64},
    {ElementType::f32, "f32", 4, DType::f32},
    {ElementType::f16, "f16", 2, std::nullopt},
    {ElementType::bf16, "bf16", 2, DType::bf16},
    {ElementType::f8_e4m3, "f8_e4m3", 1, std::nullopt},
    {ElementType::f8_e5m2, "f8_e5m2", 1, std::nullopt},
    {ElementType::f8_e8m0, "f8_e8m0", 1, std::nullopt},
    {ElementType::i64, "i64", 8, DType::i64},
    {ElementType::i32, "i32", 4, DType::i32},
    {ElementType::i16, "i16", 2, DType::i16},
    {ElementType::i8, "i8", 1, std::nullopt},
    {ElementType::u64, "u64", 8, std::nullopt},
    {ElementType::u32, "u32", 4, std::nullopt},
    {ElementType::u16, "u16", 2, std::nullopt},
    {ElementType::u8, "u8", 1, DType::u8},
    {ElementType::boolean, "bool", 1, std::nullopt},
};

const Row& row(ElementType type) { return kRows[static_cast<size_t>(type)]; }

}  // namespace

int64_t size_of(ElementType type) { return row(type).bytes; }
std::string_view name(ElementType type) { return row(type).name; }
std::optional<DType> dtype_of(ElementType type) { return row(type).dtype; }

std::optional<ElementType> element_type_named(std::string_view name) {
  for (const Row& row : kRows)
    if (row.name == name) return row.type;
  return std::nullopt;
}

ElementType element_type(DType type) {
  for (const Row& row : kRows)
    if (row.dtype == type) return row.type;
  fail_contract(fmt::format("[element_type] no stored form of dtype {}", static_cast<int>(type)));
}

}  // namespace strata
