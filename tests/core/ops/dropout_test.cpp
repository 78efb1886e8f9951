// SPDX-License-Identifier: Apache-2.0
#include "core/ops/dropout.h"

#include <gtest/gtest.h>

#include "core/ops/elementwise.h"
#include "tests/support/matrix.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

constexpr RandomKey kDropoutKey{.seed = 0x123456789ABCDEFull, .stream = 0xFEDCBA9876543210ull, .step = 3};

// The definition, element by element, from the Philox of core/base.
float factor_of(uint64_t element, float p) {
  return dropout_factor(random_block(kDropoutKey, element / kDropsPerBlock), element, dropout_rate(p));
}

TEST(Dropout, IsTheScalarFunctionWhereverASliceBegins) {
  struct DropoutCase {
    int64_t rows, columns;
    uint64_t first, pitch;
  };
  for (const DropoutCase& c : {DropoutCase{1, 1, 0, 1},
                               {3, 7, 5, 7},
                               {5, 16, 8, 64},
                               {2, 128, 0, 128},
                               {4, 131, 3, 1000},
                               {3, 576, (uint64_t{1} << 36) + 8, 576},
                               {300, 33, 1, 40}})
    for (const DType type : {DType::f32, DType::bf16})
      for (const float p : {0.1f, 0.5f}) {
        const auto got = run_everywhere([&](Stream& stream, TestTensors& make) {
          const Tensor x = make.normal(type, {c.rows, c.columns}),
                       out = make.uninitialised(type, {c.rows, c.columns}),
                       same = make.normal(type, {c.rows, c.columns});
          dropout(stream,
                  {.x = x, .out = out, .rate = p, .key = kDropoutKey, .first = c.first, .pitch = c.pitch});
          const Tensor add = make.normal(type, {c.rows, c.columns}),
                       before = make.uninitialised(type, {c.rows, c.columns}),
                       added = make.uninitialised(type, {c.rows, c.columns});
          copy(stream, same, before);
          copy(stream, add, added);
          dropout(
              stream,
              {.x = same, .out = same, .rate = p, .key = kDropoutKey, .first = c.first, .pitch = c.pitch});
          dropout(stream, {.x = x,
                           .add = add,
                           .out = add,
                           .rate = p,
                           .key = kDropoutKey,
                           .first = c.first,
                           .pitch = c.pitch});
          return std::vector{x, out, before, same, added, add};
        });
        for (const size_t which : {size_t{0}, size_t{2}, size_t{4}}) {
          const Matrix added = to_matrix(got[4]);
          Matrix expected = to_matrix(got[which == 4 ? 0 : which]);
          for (int64_t r = 0; r < c.rows; ++r)
            for (int64_t i = 0; i < c.columns; ++i)
              expected(r, i) = static_cast<double>(
                  static_cast<float>(expected(r, i)) *
                  factor_of(c.first + static_cast<uint64_t>(r) * c.pitch + static_cast<uint64_t>(i), p));
          for (size_t i = 0; which == 4 && i < expected.values.size(); ++i) {
            const float sum = static_cast<float>(expected.values[i]) + static_cast<float>(added.values[i]);
            expected.values[i] = static_cast<double>(sum);
          }
          expect_close(got[which + 1], expected, {.sums = 0},
                       fmt::format("{} {} x {} from {}", name(type), c.rows, c.columns, c.first));
        }
      }
}

TEST(Dropout, DropsAsOftenAsItSaysAndKeepsTheMean) {
  constexpr int64_t kRows = 512, kColumns = 2048;
  WorkerPool pool(2);
  CpuStream stream(pool);
  TestTensors make;
  for (const float p : {0.0f, 0.05f, 0.5f, 0.9f}) {
    const Tensor x = make.filled(DType::f32, {kRows, kColumns}, 1),
                 out = make.uninitialised(DType::f32, {kRows, kColumns});
    dropout(stream, {.x = x, .out = out, .rate = p, .key = kDropoutKey, .pitch = kColumns});
    double sum = 0;
    int64_t dropped = 0;
    const Matrix values = to_matrix(out);
    for (const double v : values.values) {
      sum += v;
      dropped += v == 0;
    }
    const auto n = static_cast<double>(kRows * kColumns), q = static_cast<double>(p);
    const double sigma = std::sqrt(q * (1 - q) / n);
    EXPECT_NEAR(static_cast<double>(dropped) / n, q, 4 * sigma + 1e-5) << p;
    EXPECT_NEAR(sum / n, 1, (4 * sigma + 1e-5) / (1 - q)) << p;
  }
}

}  // namespace
}  // namespace strata
