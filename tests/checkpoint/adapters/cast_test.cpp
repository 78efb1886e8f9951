// SPDX-License-Identifier: Apache-2.0
// Conversion of weights: every f16 and bf16 value widens exactly and comes back; ties, subnormals, overflow.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "checkpoint/adapters/cast_source.h"
#include "core/base/error.h"
#include "tests/checkpoint/sample.h"

namespace strata {
namespace {

// One tensor of given elements.
template <typename T>
class Elements : public TensorSource {
 public:
  Elements(ElementType type, std::vector<T> elements)
      : elements_(std::move(elements)), spec_{.name = "t", .type = type, .shape = {std::ssize(elements_)}} {}
  std::string format() const override { return "memory"; }
  std::string path() const override { return "memory"; }
  std::span<const TensorSpec> tensors() const override { return {&spec_, 1}; }
  const nlohmann::json& metadata() const override { return metadata_; }
  void read(size_t, const Rect& rect, const StridedTarget& into) const override {
    copy_rect(rect, Rect::whole(spec_.shape), reinterpret_cast<const std::byte*>(elements_.data()), rect,
              into, sizeof(T));
  }

 private:
  std::vector<T> elements_;
  TensorSpec spec_;
  nlohmann::json metadata_;
};

template <typename T>
std::vector<T> cast(const TensorSource& source, ElementType type) {
  const CastSource turned(source, type);
  const auto bytes = read_whole(turned, 0);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(Cast, EverySixteenBitNumberWidensAndComesBack) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for (const auto& [type, exponent_bits] : {std::pair(ElementType::f16, 5), {ElementType::bf16, 8}}) {
    const Elements<uint16_t> source(type, all);
    const std::vector<float> wide = cast<float>(source, ElementType::f32);
    const int mantissa = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
    for (size_t i = 0; i < all.size(); ++i) {
      const int exponent = static_cast<int>(i >> mantissa) & ((1 << exponent_bits) - 1);
      const int fraction = static_cast<int>(i) & ((1 << mantissa) - 1);
      if (exponent == (1 << exponent_bits) - 1) {
        ASSERT_EQ(std::isnan(wide[i]), fraction != 0);
        continue;
      }
      const double value =
          std::ldexp((exponent ? 1 << mantissa : 0) + fraction, std::max(exponent, 1) - bias - mantissa);
      ASSERT_EQ(static_cast<double>(wide[i]), i >> 15 ? -value : value) << i;
    }
    const std::vector<uint16_t> back = cast<uint16_t>(Elements<float>(ElementType::f32, wide), type);
    for (size_t i = 0; i < all.size(); ++i) ASSERT_TRUE(std::isnan(wide[i]) || back[i] == all[i]) << i;
  }
}

TEST(Cast, RoundsOnceToNearestEven) {
  // Just above a tie of bf16, by less than f32 can hold: rounding by way of the nearest f32 would lose it.
  const double tie = 1 + std::ldexp(1, -8), above = tie + std::ldexp(1, -40),
               below = tie - std::ldexp(1, -40);
  EXPECT_EQ(
      cast<uint16_t>(Elements<double>(ElementType::f64, {tie, above, below, -above}), ElementType::bf16),
      (std::vector<uint16_t>{0x3f80, 0x3f81, 0x3f80, 0xbf81}));
  EXPECT_EQ(cast<uint16_t>(Elements<float>(ElementType::f32, {1.00048828125f, 1.0004884f, 1.00146484375f}),
                           ElementType::f16),
            (std::vector<uint16_t>{0x3c00, 0x3c01, 0x3c02}));
}

TEST(Cast, WhatBecomesInfiniteIsAnError) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(cast<uint16_t>(Elements<float>(ElementType::f32, {65504, -infinity}), ElementType::f16),
            (std::vector<uint16_t>{0x7bff, 0xfc00}));
  EXPECT_THROW(cast<uint16_t>(Elements<float>(ElementType::f32, {65520}), ElementType::f16), Error);
  EXPECT_THROW(cast<uint16_t>(Elements<float>(ElementType::f32, {3.4e38f}), ElementType::bf16), Error);
  EXPECT_THROW(cast<float>(Elements<double>(ElementType::f64, {1e39}), ElementType::f32), Error);
}

TEST(Cast, WhatIsNoFloatStays) {
  const Elements<int64_t> source(ElementType::i64, {1, -2, int64_t{1} << 62});
  EXPECT_EQ(cast<int64_t>(source, ElementType::bf16), (std::vector<int64_t>{1, -2, int64_t{1} << 62}));
}

}  // namespace
}  // namespace strata
