// SPDX-License-Identifier: Apache-2.0
// The largest magnitude of what an operation writes, told by the operation: exactly that of its result, which
// stays as it was; and quantizing that is spared the read which finds it.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "core/ops/activation.h"
#include "core/ops/norm.h"
#include "core/ops/op_table.h"
#include "core/ops/quantize.h"
#include "core/ops/rope.h"
#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::to_matrix;

float bits_of_amax(const Tensor& amax) { return *amax.data<float>(); }

float largest_of(const Tensor& x) {
  uint32_t most = 0;
  for (const double value : to_matrix(x).values)
    most = std::max(most, std::bit_cast<uint32_t>(static_cast<float>(value)) & 0x7FFFFFFFu);
  return std::bit_cast<float>(most);
}

// An operation on operands of [rows, width], of which one element is `odd`: gives what it writes.
using Making = std::function<Tensor(Stream&, TestTensors&, DType, int64_t rows, int64_t width, float odd,
                                    const Tensor& amax)>;

Tensor with_odd(TestTensors& t, DType type, int64_t rows, int64_t width, float odd) {
  const Tensor x = t.normal(type, {rows, width});
  if (odd != 0) t.set(x, rows - 1, width - 1, odd);
  return x;
}

std::vector<std::pair<const char*, Making>> makers() {
  return {
      {"rms_norm",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor y = t.uninitialised(type, {rows, width});
         rms_norm_forward(s, {.x = with_odd(t, type, rows, width, odd),
                              .weight = t.normal(type, {width}, 0.1, 1),
                              .y = y,
                              .rstd = {},
                              .amax = amax});
         return y;
       }},
      {"layer_norm",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor y = t.uninitialised(type, {rows, width});
         layer_norm_forward(s, {.x = with_odd(t, type, rows, width, odd),
                                .weight = t.normal(type, {width}, 0.1, 1),
                                .bias = t.normal(type, {width}, 0.1),
                                .y = y,
                                .mean = {},
                                .rstd = {},
                                .amax = amax});
         return y;
       }},
      {"swiglu",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor y = t.uninitialised(type, {rows, width});
         swiglu_forward(s, {.gate_up = with_odd(t, type, rows, 2 * width, odd), .y = y, .amax = amax});
         return y;
       }},
      {"swiglu_backward",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor dx = t.uninitialised(type, {rows, 2 * width});
         swiglu_backward(s, {.gate_up = t.normal(type, {rows, 2 * width}),
                             .dy = with_odd(t, type, rows, width, odd),
                             .dgate_up = dx,
                             .amax = amax});
         return dx;
       }},
      {"gelu",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor y = t.uninitialised(type, {rows, width});
         gelu_forward(s, {.x = with_odd(t, type, rows, width, odd), .y = y, .amax = amax});
         return y;
       }},
      {"gelu_backward",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor dx = t.uninitialised(type, {rows, width});
         gelu_backward(s, {.x = t.normal(type, {rows, width}),
                           .dy = with_odd(t, type, rows, width, odd),
                           .dx = dx,
                           .amax = amax});
         return dx;
       }},
      {"rope",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor x = with_odd(t, type, rows, 2 * width, odd);  // one head
         rope(s, {.x = x,
                  .positions = t.random_ids(rows, 5),
                  .cos = t.normal(DType::f32, {5 * width}).view({5, width}),
                  .sin = t.normal(DType::f32, {5 * width}).view({5, width}),
                  .inverse = true,
                  .amax = amax});
         return x;
       }},
      {"raise_amax",
       [](Stream& s, TestTensors& t, DType type, int64_t rows, int64_t width, float odd, const Tensor& amax) {
         const Tensor x = with_odd(t, type, rows, width, odd);
         if (amax) raise_amax(s, x, amax);
         return x;
       }},
  };
}

TEST(Amax, IsThatOfTheResult) {
  for (const auto& [what, make] : makers())
    for (const DType type : {DType::f32, DType::bf16})
      for (const auto& [rows, width] :
           std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 17}, {130, 96}, {5, 1000}})
        for (const float odd : {0.0f, 1e4f, -INFINITY, NAN}) {
          SCOPED_TRACE(fmt::format("{} {} [{}, {}] odd {}", what, name(type), rows, width, odd));
          const auto got = run_everywhere([&](Stream& stream, TestTensors& t) {
            const Tensor from_zero = t.filled(DType::f32, {1}, 0);
            const Tensor told = make(stream, t, type, rows, width, odd, from_zero);
            return std::vector{told, from_zero};
          });
          const auto silent = run_everywhere([&](Stream& stream, TestTensors& t) {
            t.filled(DType::f32, {1}, 0);
            return std::vector{make(stream, t, type, rows, width, odd, {})};
          });
          EXPECT_TRUE(bytes_of(got[0]) == bytes_of(silent[0])) << "the result is another one";
          // The bits of a NaN are its maker's; that it is one is not.
          const float most = largest_of(got[0]), amax = bits_of_amax(got[1]);
          EXPECT_EQ(std::isnan(amax), std::isnan(most));
          if (!std::isnan(most)) {
            EXPECT_EQ(amax, most);
          }
        }
}

TEST(Amax, NeverFalls) {
  for (const auto& [what, make] : makers()) {
    const auto got = run_everywhere([&, &maker = make](Stream& stream, TestTensors& t) {
      const Tensor high = t.filled(DType::f32, {1}, 1e30f);
      maker(stream, t, DType::bf16, 7, 40, 0, high);
      return std::vector{high};
    });
    EXPECT_EQ(bits_of_amax(got[0]), 1e30f) << what;
  }
}

struct Known {
  bool rows, columns, delayed;
};

// With the true magnitude everything is as without one; with another one it is that one's, which shows that
// nobody looked.
TEST(Amax, SparesQuantizingARead) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const Known& want : {Known{true, false, false}, Known{true, true, false}, Known{false, true, false},
                              Known{true, true, true}})
      for (const float known : {0.0f, -1.0f, 4000.0f}) {  // absent, the true one, another one
        SCOPED_TRACE(fmt::format("{} rows {} columns {} delayed {} known {}", name(type), want.rows,
                                 want.columns, want.delayed, known));
        constexpr int64_t kRows = 140, kWidth = 300;
        const auto run = [&](float magnitude) {
          return run_everywhere([&](Stream& stream, TestTensors& t) {
            const Tensor x = t.normal(type, {kRows, kWidth});
            const auto result = [&](bool wanted, int64_t rows, int64_t k) {
              if (!wanted) return Quantized{};
              return Quantized{t.uninitialised(DType::f8e4m3, {rows, k}), t.uninitialised(DType::f32, {1}),
                               ScaleShape::tensor};
            };
            Quantize args{.x = x,
                          .rows = result(want.rows, kRows, kWidth),
                          .columns = result(want.columns, kWidth, kRows)};
            if (want.delayed) {
              args.given = t.filled(DType::f32, {1}, 0.25f);
              args.amax = t.filled(DType::f32, {1}, 0.5f);
            }
            if (magnitude != 0) args.known = t.filled(DType::f32, {1}, magnitude > 0 ? magnitude : 0.0f);
            if (magnitude < 0) raise_amax(stream, x, args.known);
            const int64_t scratch = scratch_table(stream.device().kind).quantize(args);
            EXPECT_EQ(scratch == 0, magnitude != 0 || (want.delayed && !args.amax)) << scratch;
            quantize(stream, args);
            std::vector<Tensor> made;
            for (const Quantized& q : {args.rows, args.columns})
              if (q) made.insert(made.end(), {q.codes, q.scales});
            if (args.amax) made.push_back(args.amax);
            return made;
          });
        };
        const auto got = run(known), found = run(0);
        if (known <= 0) {
          expect_same_bits(got, found, "known and found");
        } else if (want.delayed) {
          EXPECT_EQ(bits_of_amax(got.back()), known);
        } else {
          EXPECT_EQ(*got[1].data<float>(), 1 / (448.0f / known));
        }
      }
}

}  // namespace
}  // namespace strata
