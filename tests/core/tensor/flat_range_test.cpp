// SPDX-License-Identifier: Apache-2.0
// Every run of elements of every small rectangle: the parts are those elements, each once and in order.
#include "core/tensor/flat_range.h"

#include <gtest/gtest.h>

#include "core/base/check.h"

namespace strata {
namespace {

using Index = std::pair<int64_t, int64_t>;

// The elements of a rectangle row by row; the column of rank 1 is 0.
std::vector<Index> elements(const Rect& rect) {
  std::vector<Index> all;
  const bool matrix = rect.extent.rank() == 2;
  for (int64_t row = 0; row < rect.extent[0]; ++row)
    for (int64_t column = 0; column < (matrix ? rect.extent[1] : 1); ++column)
      all.emplace_back(rect.begin[0] + row, matrix ? rect.begin[1] + column : 0);
  return all;
}

void expect_every_run(const Rect& held) {
  const std::vector<Index> all = elements(held);
  const auto count = static_cast<int64_t>(all.size());
  for (int64_t begin = 0; begin <= count; ++begin)
    for (int64_t end = 0; end <= count; ++end) {
      SCOPED_TRACE(testing::Message() << held.extent.rank() << " dims, " << held.extent[0] << " rows of "
                                      << count << ": [" << begin << ", " << end << ")");
      const std::vector<RangePart> parts = rects_of_range(held, begin, end);
      ASSERT_LE(parts.size(), held.extent.rank() == 2 ? 3u : 1u);
      int64_t at = begin;
      for (const RangePart& part : parts) {
        ASSERT_GT(part.rect.numel(), 0);
        ASSERT_EQ(part.begin, at);
        ASSERT_EQ(part.rect.extent.rank(), held.extent.rank());
        for (const Index& element : elements(part.rect)) {
          ASSERT_LT(at, end);
          ASSERT_EQ(element, all[static_cast<size_t>(at)]);
          ++at;
        }
      }
      ASSERT_EQ(at, std::max(begin, end));
    }
}

TEST(FlatRange, EveryElementOnce) {
  for (int64_t first : {0, 3})
    for (int64_t rows = 0; rows <= 6; ++rows) {
      expect_every_run({{first}, {rows}});
      for (int64_t columns = 1; columns <= 5; ++columns)
        expect_every_run({{first, 2 * first}, {rows, columns}});
    }
}

TEST(FlatRange, RefusesWhatLiesOutside) {
  EXPECT_THROW(rects_of_range({{0, 0}, {2, 3}}, -1, 2), ContractError);
  EXPECT_THROW(rects_of_range({{0, 0}, {2, 3}}, 0, 7), ContractError);
  EXPECT_THROW(rects_of_range({{0, 0, 0}, {2, 3, 4}}, 0, 1), ContractError);
}

}  // namespace
}  // namespace strata
