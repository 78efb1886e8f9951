// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/torch_types.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {
namespace {

constexpr TorchType kRows[] = {
    {"torch.DoubleStorage", "torch.float64", ElementType::f64},
    {"torch.FloatStorage", "torch.float32", ElementType::f32},
    {"torch.HalfStorage", "torch.float16", ElementType::f16},
    {"torch.BFloat16Storage", "torch.bfloat16", ElementType::bf16},
    {"torch.LongStorage", "torch.int64", ElementType::i64},
    {"torch.IntStorage", "torch.int32", ElementType::i32},
    {"torch.ShortStorage", "torch.int16", ElementType::i16},
    {"torch.CharStorage", "torch.int8", ElementType::i8},
    {"torch.ByteStorage", "torch.uint8", ElementType::u8},
    {"torch.BoolStorage", "torch.bool", ElementType::boolean},
    {"", "torch.uint16", ElementType::u16},
    {"", "torch.uint32", ElementType::u32},
    {"", "torch.uint64", ElementType::u64},
    {"", "torch.float8_e4m3fn", ElementType::f8_e4m3},
    {"", "torch.float8_e5m2", ElementType::f8_e5m2},
    {"", "torch.float8_e8m0fnu", ElementType::f8_e8m0},
};

template <typename Member>
std::optional<ElementType> find(std::string_view name, Member member) {
  for (const TorchType& row : kRows)
    if (!name.empty() && row.*member == name) return row.type;
  return std::nullopt;
}

}  // namespace

const TorchType& torch_type(ElementType type) {
  const auto found = std::find_if(std::begin(kRows), std::end(kRows),
                                  [&](const TorchType& row) { return row.type == type; });
  check(found != std::end(kRows), "[torch types] no name for {}", name(type));
  return *found;
}

std::optional<ElementType> element_type_of_torch(std::string_view dtype) {
  return find(dtype, &TorchType::dtype);
}

std::optional<ElementType> element_type_of_torch_storage(std::string_view storage) {
  return find(storage, &TorchType::storage);
}

}  // namespace strata
