// SPDX-License-Identifier: Apache-2.0
#include "core/ops/activation.h"

#include <gtest/gtest.h>

#include "core/ops/rope.h"
#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

struct ActivationCase {
  int64_t rows, width;
  DType type;
  double scale;  // of the inputs: large ones reach the flat ends of the sigmoid
};

std::vector<ActivationCase> activation_cases() {
  std::vector<ActivationCase> all;
  for (const auto& [rows, width] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {1, 16}, {3, 15}, {2, 17}, {40, 100}, {3, 3001}, {2, 4096}})
    for (const DType type : {DType::f32, DType::bf16})
      for (const double scale : {1.0, 40.0}) all.push_back({rows, width, type, scale});
  return all;
}

std::string text(const char* what, const ActivationCase& c) {
  return fmt::format("{} [{}, {}] {} scale {}", what, c.rows, c.width, name(c.type), c.scale);
}

// exp is within 2 ulp and a handful of operations follow; the largest output sets the scale of what may
// cancel.
constexpr double kSums = 6;

TEST(Swiglu, IsTheReference) {
  for (const ActivationCase& c : activation_cases()) {
    TestTensors t;
    const Tensor gate_up = t.normal(c.type, {c.rows, 2 * c.width}, c.scale);
    const Tensor dy = t.normal(c.type, {c.rows, c.width});
    const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
      const Tensor x = tensors.normal(c.type, {c.rows, 2 * c.width}, c.scale);
      const Tensor d = tensors.normal(c.type, {c.rows, c.width});
      const Tensor y = tensors.uninitialised(c.type, {c.rows, c.width}),
                   dx = tensors.uninitialised(c.type, x.shape());
      swiglu_forward(stream, {.gate_up = x, .y = y});
      swiglu_backward(stream, {.gate_up = x, .dy = d, .dgate_up = dx});
      swiglu_backward(stream, {.gate_up = x, .dy = d, .dgate_up = x});  // in place
      return std::vector{y, dx, x};
    });
    expect_close(got[0], reference::swiglu(to_matrix(gate_up)), {.sums = kSums}, text("y", c));
    expect_close(got[1], reference::swiglu_backward(to_matrix(gate_up), to_matrix(dy)), {.sums = 2 * kSums},
                 text("dx", c));
    EXPECT_TRUE(bytes_of(got[2]) == bytes_of(got[1])) << text("in place", c);
  }
}

TEST(Gelu, IsTheReference) {
  for (const ActivationCase& c : activation_cases()) {
    TestTensors t;
    const Tensor x = t.normal(c.type, {c.rows, c.width}, c.scale), dy = t.normal(c.type, {c.rows, c.width});
    const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
      const Tensor a = tensors.normal(c.type, {c.rows, c.width}, c.scale);
      const Tensor d = tensors.normal(c.type, {c.rows, c.width});
      const Tensor y = tensors.uninitialised(c.type, a.shape()),
                   dx = tensors.uninitialised(c.type, a.shape());
      gelu_forward(stream, {.x = a, .y = y});
      gelu_backward(stream, {.x = a, .dy = d, .dx = dx});
      const Tensor over_x = tensors.clone(a);
      stream.synchronize();
      gelu_backward(stream, {.x = over_x, .dy = d, .dx = over_x});
      gelu_backward(stream, {.x = a, .dy = d, .dx = d});
      return std::vector{y, dx, over_x, d};
    });
    expect_close(got[0], reference::gelu(to_matrix(x)), {.sums = kSums}, text("y", c));
    // Far out the slope's two terms, each up to x^3, cancel.
    expect_close(got[1], reference::gelu_backward(to_matrix(x), to_matrix(dy)), {.sums = 4 * kSums},
                 text("dx", c));
    EXPECT_TRUE(bytes_of(got[2]) == bytes_of(got[1]) && bytes_of(got[3]) == bytes_of(got[1]))
        << text("in place", c);
  }
}

TEST(Activation, NonFiniteInputsComeThrough) {
  WorkerPool pool(1);
  for (const Isa isa : isas_here()) {
    CpuStream stream(pool, CpuStream::Mode::inline_, isa);
    TestTensors t;
    const Tensor x = t.filled(DType::f32, {1, 4}, NAN);
    set_element(x, 0, 1, INFINITY);
    set_element(x, 0, 2, -1e30f);
    set_element(x, 0, 3, 1e30f);
    const Tensor y = t.uninitialised(DType::f32, {1, 4});
    gelu_forward(stream, {.x = x, .y = y});
    const Matrix got = to_matrix(y);
    EXPECT_TRUE(std::isnan(got(0, 0)));
    EXPECT_EQ(got(0, 1), INFINITY);
    EXPECT_EQ(got(0, 2), 0);
    EXPECT_EQ(got(0, 3), static_cast<double>(1e30f));
  }
}

struct RopeCase {
  int64_t tokens, heads, half;
  DType type;
};

TEST(Rope, IsTheReferenceAndTurnsBack) {
  for (const RopeCase& c : std::vector<RopeCase>{{1, 1, 1, DType::f32},
                                                 {3, 2, 5, DType::f32},
                                                 {7, 3, 32, DType::bf16},
                                                 {2, 2, 17, DType::bf16},
                                                 {600, 4, 16, DType::f32},
                                                 {5, 9, 64, DType::bf16}}) {
    constexpr int64_t kPositions = 50;
    const auto make = [&](TestTensors& t) {
      const Tensor x = t.normal(c.type, {c.tokens, c.heads * 2 * c.half}),
                   ids = t.random_ids(c.tokens, kPositions);
      std::vector<double> cos, sin;
      for (int64_t p = 0; p < kPositions; ++p)
        for (int64_t i = 0; i < c.half; ++i) {
          const double angle = static_cast<double>(p) *
                               std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(c.half));
          cos.push_back(std::cos(angle));
          sin.push_back(std::sin(angle));
        }
      const auto table = [&](const std::vector<double>& values) {
        return t.numbers(DType::f32, {kPositions * c.half}, values).view({kPositions, c.half});
      };
      return std::vector{x, ids, table(cos), table(sin)};
    };
    TestTensors t;
    const auto in = make(t);
    const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
      auto args = make(tensors);
      const Tensor before = tensors.clone(args[0]);
      rope(stream, {.x = args[0], .positions = args[1], .cos = args[2], .sin = args[3], .inverse = false});
      const Tensor back = args[0];
      stream.synchronize();
      const Tensor turned = tensors.clone(back);
      rope(stream, {.x = back, .positions = args[1], .cos = args[2], .sin = args[3], .inverse = true});
      return std::vector{turned, back, before};
    });
    const std::string what =
        fmt::format("tokens {} heads {} half {} {}", c.tokens, c.heads, c.half, name(c.type));
    expect_close(
        got[0],
        reference::rope(to_matrix(in[0]), to_matrix(in[1]), to_matrix(in[2]), to_matrix(in[3]), false),
        {.sums = 3}, what);
    // Back is the inverse but for the roundings of both turns: of the type, relative to the pair's length.
    expect_close(got[1], to_matrix(got[2]), {.sums = c.type == DType::bf16 ? 3 * 65536.0 : 6.0},
                 what + " turned back");
  }
}

TEST(Rope, BrokenContractsAreNamed) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const Tensor x = t.normal(DType::f32, {2, 8}), table = t.normal(DType::f32, {8}).view({4, 2});
  try {
    rope(stream, {.x = x, .positions = t.ids({3, 4}), .cos = table, .sin = table});
    ADD_FAILURE() << "no error";
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[rope] position 4 of token 1 is outside [0, 4), the rows of cos");
  }
  const Tensor odd = t.normal(DType::f32, {9}).view({3, 3});
  try {
    rope(stream, {.x = x, .positions = t.ids({0, 0}), .cos = odd, .sin = odd});
    ADD_FAILURE() << "no error";
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(),
                 "[rope] x: expected rows of heads of 6 elements (twice the columns of cos), got [2, 8]");
  }
}

}  // namespace
}  // namespace strata
