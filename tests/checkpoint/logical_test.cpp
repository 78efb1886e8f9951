// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/logical.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/base/error.h"

namespace strata {
namespace {

TEST(LogicalTest, NamesAndShapesAreBounded) {
  const auto refused = [](TensorSpec tensor) {
    try {
      check_logical(tensor, "here");
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::model);
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refused({.name = "layers.0.w", .shape = {2, 3}}), "");
  EXPECT_EQ(refused({.name = "w", .shape = {}}), "");
  EXPECT_EQ(refused({.name = "w", .shape = {0, int64_t{1} << 40}}), "");
  for (const char* name : {"", "a/b", "a b", "a@b", "a\x01", "\xC3\xA9", "a\"b"})
    EXPECT_THAT(refused({.name = name}), testing::HasSubstr("name")) << name;
  EXPECT_THAT(refused({.name = std::string(513, 'a')}), testing::HasSubstr("name"));
  EXPECT_THAT(refused({.name = "w", .state = ".."}), testing::HasSubstr("state"));
  EXPECT_THAT(refused({.name = "w", .shape = {-1}}), testing::HasSubstr("shape"));
  EXPECT_THAT(refused({.name = "w", .shape = {int64_t{1} << 31, int64_t{1} << 31}}),
              testing::HasSubstr("shape"));
  EXPECT_THAT(refused({.name = "w", .shape = {0, int64_t{1} << 62}}), testing::HasSubstr("shape"));
}

TEST(LogicalTest, CutRowsCoverOnceContiguouslyAndFit) {
  for (const Shape& shape :
       {Shape{}, Shape{1}, Shape{17}, Shape{5, 7}, Shape{3, 4, 5}, Shape{2, 1, 3, 4}, Shape{0, 3}})
    for (const int64_t bytes : {1, 4, 8, 20, 28, 60, 80, 1000}) {
      std::vector<int> seen(static_cast<size_t>(shape.numel()));
      int64_t next = 0;
      for (const Rect& piece : cut_rows(shape, 4, bytes)) {
        EXPECT_LE(piece.numel() * 4, std::max<int64_t>(bytes, 4));
        EXPECT_GT(piece.numel(), 0);
        int64_t first = 0, step = 1;
        for (int d = shape.rank() - 1; d >= 0; --d) {
          EXPECT_GE(piece.begin[d], 0);
          EXPECT_LE(piece.begin[d] + piece.extent[d], shape[d]);
          first += piece.begin[d] * step;
          step *= shape[d];
        }
        EXPECT_EQ(first, next) << to_string(shape) << " " << bytes;  // in order, so contiguous and once
        next += piece.numel();
      }
      EXPECT_EQ(next, shape.numel()) << to_string(shape) << " " << bytes;
    }
}

TEST(LogicalTest, CopyRectMovesEveryElementToItsPlace) {
  const Shape shape{4, 5, 6};
  std::vector<int32_t> whole(static_cast<size_t>(shape.numel()));
  std::iota(whole.begin(), whole.end(), 0);
  const Rect from{{0, 1, 0}, {4, 4, 6}}, to{{1, 0, 2}, {3, 5, 3}};
  std::vector<int32_t> held(static_cast<size_t>(from.numel())), got(static_cast<size_t>(to.numel()), -1);
  const auto bytes = [](std::vector<int32_t>& v) { return reinterpret_cast<std::byte*>(v.data()); };
  copy_rect(from, Rect::whole(shape), bytes(whole), from, row_major(bytes(held), from.extent, 4), 4);
  const Rect common = *intersect(from, to);
  copy_rect(common, from, bytes(held), to, row_major(bytes(got), to.extent, 4), 4);
  size_t at = 0;
  for (int64_t i = 1; i < 4; ++i)
    for (int64_t j = 0; j < 5; ++j)
      for (int64_t k = 2; k < 5; ++k, ++at) EXPECT_EQ(got[at], j == 0 ? -1 : (i * 5 + j) * 6 + k);
  // Into a transposed matrix.
  const Shape matrix{2, 3};
  std::vector<int32_t> transposed(6, -1);
  StridedTarget target{.data = bytes(transposed)};
  target.strides = {4, 8};
  copy_rect(Rect::whole(matrix), Rect::whole(matrix), bytes(whole), Rect::whole(matrix), target, 4);
  EXPECT_THAT(transposed, testing::ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST(LogicalTest, ElementTypesKeepTheirNames) {
  for (int i = 0; i <= static_cast<int>(ElementType::boolean); ++i) {
    const auto type = static_cast<ElementType>(i);
    EXPECT_EQ(element_type_named(name(type)), type);
    EXPECT_GE(size_of(type), 1);
    if (const auto dtype = dtype_of(type)) {
      EXPECT_EQ(element_type(*dtype), type);
      EXPECT_EQ(size_of(*dtype), size_of(type));
    }
  }
  EXPECT_EQ(element_type_named("fp32"), std::nullopt);
}

}  // namespace
}  // namespace strata
