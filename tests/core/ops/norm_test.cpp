// SPDX-License-Identifier: Apache-2.0
#include "core/ops/norm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/ops/op_table.h"
#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

struct NormCase {
  int64_t rows, groups, width;
  DType type, weight_type;
};

std::vector<NormCase> norm_cases() {
  std::vector<NormCase> all;
  for (const auto& [rows, groups, width] : std::vector<std::array<int64_t, 3>>{{1, 1, 1},
                                                                               {1, 1, 16},
                                                                               {3, 1, 17},
                                                                               {5, 3, 8},
                                                                               {2, 2, 64},
                                                                               {9, 1, 33},
                                                                               {300, 1, 48},
                                                                               {2, 1, 1031},
                                                                               {33, 1, 128},
                                                                               {20, 1, 2048}})
    for (const auto& [type, weight_type] : std::vector<std::pair<DType, DType>>{
             {DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::bf16, DType::f32}})
      all.push_back({rows, groups, width, type, weight_type});
  return all;
}

std::string text(const char* what, const NormCase& c) {
  return fmt::format("{} rows {} groups {} width {} {} weight {}", what, c.rows, c.groups, c.width,
                     name(c.type), name(c.weight_type));
}

constexpr float kEps = 1e-5f;

// What both norms and both passes share: operands from one seed.
struct Inputs {
  Inputs(TestTensors& t, const NormCase& c)
      : x(t.normal(c.type, {c.rows, c.groups * c.width}, 2, 0.5)),
        weight(t.normal(c.weight_type, {c.width})),
        bias(t.normal(c.weight_type, {c.width})),
        dy(t.normal(c.type, {c.rows, c.groups * c.width})),
        add(t.normal(c.type, {c.rows, c.groups * c.width})),
        dweight(t.normal(DType::f32, {c.width})),
        dbias(t.normal(DType::f32, {c.width})) {}
  Tensor x, weight, bias, dy, add, dweight, dbias;
};

// A mean or a variance is a sum of `width` terms kept in sixteen lanes: its error grows with width / 16
// roundings at worst, with far fewer on average. dweight sums over rows in pieces.
double sums(const NormCase& c) { return 8 + 0.25 * static_cast<double>(c.width) / 16; }

// Rows longer than what a device may hold at once.
std::vector<NormCase> with_long_rows(std::vector<NormCase> all) {
  for (const DType type : {DType::f32, DType::bf16}) {
    all.push_back({3, 1, 17000, type, type});
    all.push_back({1, 1, 33000, type, type});
  }
  return all;
}

TEST(RmsNorm, ForwardIsTheReference) {
  for (const NormCase& c : with_long_rows(norm_cases())) {
    TestTensors t;
    const Inputs in(t, c);
    const auto expected = reference::rms_norm(to_matrix(in.x), to_matrix(in.weight), kEps);
    const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
      const Inputs args(tensors, c);
      const Tensor y = tensors.uninitialised(c.type, args.x.shape());
      const Tensor rstd = tensors.uninitialised(DType::f32, {c.rows * c.groups});
      rms_norm_forward(stream, {.x = args.x, .weight = args.weight, .y = y, .rstd = rstd, .eps = kEps});
      const Tensor alone = tensors.uninitialised(c.type, args.x.shape());
      rms_norm_forward(stream, {.x = args.x, .weight = args.weight, .y = alone, .rstd = {}, .eps = kEps});
      return std::vector{y, rstd, alone};
    });
    EXPECT_TRUE(bytes_of(got[2]) == bytes_of(got[0])) << "rstd is optional";
    expect_close(got[0], expected.y, {.sums = sums(c)}, text("y", c));
    expect_close(got[1], expected.rstd, {.sums = sums(c)}, text("rstd", c));
  }
}

TEST(LayerNorm, ForwardIsTheReference) {
  for (const NormCase& c : with_long_rows(norm_cases())) {
    TestTensors t;
    const Inputs in(t, c);
    const auto expected =
        reference::layer_norm(to_matrix(in.x), to_matrix(in.weight), to_matrix(in.bias), kEps);
    const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
      const Inputs args(tensors, c);
      const Tensor y = tensors.uninitialised(c.type, args.x.shape());
      const Tensor mean = tensors.uninitialised(DType::f32, {c.rows * c.groups});
      const Tensor rstd = tensors.uninitialised(DType::f32, {c.rows * c.groups});
      layer_norm_forward(stream, {.x = args.x,
                                  .weight = args.weight,
                                  .bias = args.bias,
                                  .y = y,
                                  .mean = mean,
                                  .rstd = rstd,
                                  .eps = kEps});
      return std::vector{y, mean, rstd};
    });
    // A group of one element has variance 0 and rstd 1 / sqrt(eps): x - mean must be exactly 0 and is.
    expect_close(got[0], expected.y, {.sums = 2 * sums(c)}, text("y", c));
    expect_close(got[1], expected.mean, {.sums = sums(c), .scale = 3}, text("mean", c));
    expect_close(got[2], expected.rstd, {.sums = 2 * sums(c)}, text("rstd", c));
  }
}

// Which of the operands dx shares its memory with.
enum class Alias { none, dy, add };

template <bool kCentered>
void check_backward() {
  for (const NormCase& c : with_long_rows(norm_cases()))
    for (const Write write : {Write::overwrite, Write::accumulate})
      for (const Alias alias : {Alias::none, Alias::dy, Alias::add}) {
        if (c.width > 10000 && (write == Write::overwrite || alias == Alias::add)) continue;  // for time
        TestTensors t;
        const Inputs in(t, c);
        const Matrix x = to_matrix(in.x), weight = to_matrix(in.weight), dy = to_matrix(in.dy);
        const Matrix add = to_matrix(in.add), old_dweight = to_matrix(in.dweight),
                     old_dbias = to_matrix(in.dbias);
        auto expected = kCentered ? reference::layer_norm_backward(x, weight, kEps, dy)
                                  : reference::rms_norm_backward(x, weight, kEps, dy);
        const bool added = alias != Alias::dy;
        if (added)
          for (size_t i = 0; i < x.values.size(); ++i) expected.dx.values[i] += add.values[i];
        if (write == Write::accumulate)
          for (size_t i = 0; i < static_cast<size_t>(c.width); ++i) {
            expected.dweight.values[i] += old_dweight.values[i];
            expected.dbias.values[i] += old_dbias.values[i];
          }
        const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
          const Inputs args(tensors, c);
          const Tensor y = tensors.uninitialised(c.type, args.x.shape());
          const Tensor mean = tensors.uninitialised(DType::f32, {c.rows * c.groups});
          const Tensor rstd = tensors.uninitialised(DType::f32, {c.rows * c.groups});
          const Tensor dx = alias == Alias::dy    ? args.dy
                            : alias == Alias::add ? args.add
                                                  : tensors.uninitialised(c.type, args.x.shape());
          const Tensor add = added ? args.add : Tensor();
          if (kCentered) {
            layer_norm_forward(stream, {args.x, args.weight, args.bias, y, mean, rstd, kEps});
            const LayerNormBackward backward{.x = args.x,
                                             .weight = args.weight,
                                             .mean = mean,
                                             .rstd = rstd,
                                             .dy = args.dy,
                                             .dx = dx,
                                             .add = add,
                                             .dweight = args.dweight,
                                             .dbias = args.dbias,
                                             .write = write};
            layer_norm_backward(stream, backward);
            EXPECT_LE(stream.scratch().high_water(),
                      round_up(scratch_table(stream.device().kind).layer_norm_backward(backward),
                               kTensorAlignment));
          } else {
            rms_norm_forward(stream, {args.x, args.weight, y, rstd, kEps});
            const RmsNormBackward backward{.x = args.x,
                                           .weight = args.weight,
                                           .rstd = rstd,
                                           .dy = args.dy,
                                           .dx = dx,
                                           .add = add,
                                           .dweight = args.dweight,
                                           .write = write};
            rms_norm_backward(stream, backward);
            EXPECT_LE(
                stream.scratch().high_water(),
                round_up(scratch_table(stream.device().kind).rms_norm_backward(backward), kTensorAlignment));
          }
          return std::vector{dx, args.dweight, args.dbias};
        });
        // The terms of dx are dy * weight * rstd; with one element in the group they cancel to 0 (rstd may be
        // 300).
        const double term = 300 * 3 * 3;
        const double scale = c.width == 1 ? term : 0;
        expect_close(got[0], expected.dx, {.sums = 4 * sums(c), .scale = scale}, text("dx", c));
        const double rows = static_cast<double>(c.rows * c.groups);
        expect_close(got[1], expected.dweight, {.sums = 4 * sums(c) + rows / 8, .scale = scale},
                     text("dweight", c));
        if (kCentered) expect_close(got[2], expected.dbias, {.sums = 8 + rows / 8}, text("dbias", c));
      }
}

TEST(RmsNorm, BackwardIsTheReference) { check_backward<false>(); }
TEST(LayerNorm, BackwardIsTheReference) { check_backward<true>(); }

TEST(RmsNorm, BackwardWithoutWeightGradientTakesNoScratch) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const Inputs in(t, {4, 1, 20, DType::f32, DType::f32});
  const Tensor rstd = t.filled(DType::f32, {4}, 0.5f);
  const Tensor dx = t.uninitialised(DType::f32, {4, 20}), same = t.uninitialised(DType::f32, {4, 20});
  rms_norm_backward(
      stream,
      {.x = in.x, .weight = in.weight, .rstd = rstd, .dy = in.dy, .dx = dx, .add = {}, .dweight = {}});
  EXPECT_EQ(stream.scratch().high_water(), 0);
  rms_norm_backward(stream, {.x = in.x,
                             .weight = in.weight,
                             .rstd = rstd,
                             .dy = in.dy,
                             .dx = same,
                             .add = {},
                             .dweight = in.dweight});
  EXPECT_TRUE(bytes_of(dx) == bytes_of(same));
}

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const ContractError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Norm, BrokenContractsAreNamed) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const Tensor x = t.normal(DType::f32, {4, 6}), weight = t.normal(DType::f32, {6}),
               y = t.normal(DType::f32, {4, 6});
  const auto forward = [&](RmsNormForward args) {
    return message_of([&] { rms_norm_forward(stream, args); });
  };
  EXPECT_EQ(forward({.x = x, .weight = t.normal(DType::f32, {4}), .y = y, .rstd = {}}),
            "[rms_norm_forward] x: expected rows of groups of 4 elements (weight), got [4, 6]");
  EXPECT_EQ(forward({.x = x, .weight = weight, .y = {}, .rstd = {}}), "[rms_norm_forward] y is absent");
  EXPECT_EQ(forward({.x = x, .weight = weight, .y = t.normal(DType::bf16, {4, 6}), .rstd = {}}),
            "[rms_norm_forward] y: expected f32, got bf16");
  EXPECT_EQ(forward({.x = x, .weight = weight, .y = t.normal(DType::f32, {4, 5}), .rstd = {}}),
            "[rms_norm_forward] y: expected [4, 6], got [4, 5]");
  EXPECT_EQ(forward({.x = t.normal(DType::f32, {6, 4}).t(), .weight = weight, .y = y, .rstd = {}}),
            "[rms_norm_forward] x: expected unit stride in the last dim of [4, 6], got 9");
  const Tensor meta = make_tensor(*make_meta_allocator(), DType::f32, {4, 6}, "y");
  EXPECT_EQ(forward({.x = x, .weight = weight, .y = meta, .rstd = {}}),
            "[rms_norm_forward] y is on meta, the stream on cpu");
  EXPECT_EQ(message_of([&] {
              layer_norm_backward(stream, {.x = x,
                                           .weight = weight,
                                           .mean = t.normal(DType::f32, {4}),
                                           .rstd = t.normal(DType::f32, {4}),
                                           .dy = y,
                                           .dx = y,
                                           .add = {},
                                           .dweight = t.normal(DType::f32, {6}),
                                           .dbias = {}});
            }),
            "[layer_norm_backward] dweight and dbias: expected both or neither");
}

}  // namespace
}  // namespace strata
