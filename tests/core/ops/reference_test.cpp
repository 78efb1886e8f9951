// SPDX-License-Identifier: Apache-2.0
// The references' gradients against finite differences of the references' forward passes.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support/reference_ops.h"

namespace strata::reference {
namespace {

class ReferenceGradients : public ::testing::Test {
 protected:
  Matrix random(int64_t rows, int64_t cols) {
    Matrix x(rows, cols);
    for (double& v : x.values) v = draw_(random_);
    return x;
  }
  // `gradient` against the differences of sum(dy * f(x)) as x varies.
  static void expect_gradient(const std::function<Matrix(const Matrix&)>& f, const Matrix& x,
                              const Matrix& dy, const Matrix& gradient, const char* what) {
    const auto loss = [&](const std::vector<double>& values) {
      Matrix point = x;
      point.values = values;
      const Matrix y = f(point);
      double total = 0;
      for (size_t i = 0; i < y.values.size(); ++i) total += y.values[i] * dy.values[i];
      return total;
    };
    const std::vector<double> expected = finite_differences(loss, x.values);
    ASSERT_EQ(expected.size(), gradient.values.size());
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(gradient.values[i], expected[i], 1e-7 * (1 + std::fabs(expected[i])))
          << what << " element " << i;
  }

 private:
  std::mt19937_64 random_{7};
  std::normal_distribution<double> draw_;
};

TEST_F(ReferenceGradients, Norms) {
  const Matrix x = random(3, 10), weight = random(1, 5), bias = random(1, 5), dy = random(3, 10);
  const double eps = 1e-3;
  const NormGradient rms = rms_norm_backward(x, weight, eps, dy),
                     layer = layer_norm_backward(x, weight, eps, dy);
  expect_gradient([&](const Matrix& v) { return rms_norm(v, weight, eps).y; }, x, dy, rms.dx, "rms dx");
  expect_gradient([&](const Matrix& v) { return rms_norm(x, v, eps).y; }, weight, dy, rms.dweight,
                  "rms dweight");
  expect_gradient([&](const Matrix& v) { return layer_norm(v, weight, bias, eps).y; }, x, dy, layer.dx,
                  "layer dx");
  expect_gradient([&](const Matrix& v) { return layer_norm(x, v, bias, eps).y; }, weight, dy, layer.dweight,
                  "dweight");
  expect_gradient([&](const Matrix& v) { return layer_norm(x, weight, v, eps).y; }, bias, dy, layer.dbias,
                  "dbias");
}

TEST_F(ReferenceGradients, Activations) {
  const Matrix x = random(4, 6), dy = random(4, 3), dx = random(4, 6);
  expect_gradient(swiglu, x, dy, swiglu_backward(x, dy), "swiglu");
  expect_gradient(gelu, x, dx, gelu_backward(x, dx), "gelu");
}

TEST_F(ReferenceGradients, Rope) {
  Matrix x = random(3, 8), dy = random(3, 8), positions(1, 3), cos(5, 2), sin(5, 2);
  positions.values = {4, 0, 2};
  for (size_t i = 0; i < cos.values.size(); ++i) {
    cos.values[i] = std::cos(0.3 * static_cast<double>(i));
    sin.values[i] = std::sin(0.3 * static_cast<double>(i));
  }
  expect_gradient([&](const Matrix& v) { return rope(v, positions, cos, sin, false); }, x, dy,
                  rope(dy, positions, cos, sin, true), "rope");
}

TEST_F(ReferenceGradients, Attention) {
  for (const bool causal : {false, true}) {
    const Matrix q = random(7, 4 * 3), k = random(6, 2 * 3), v = random(6, 2 * 3), dout = random(7, 4 * 3);
    // Overlapping keys, queries that see nothing, keys that nobody sees.
    const AttentionShape shape{4, 2, 0.6, causal, {{0, 3, 0, 3, 0}, {3, 2, 1, 4, 1}, {5, 2, 0, 4, -1}}};
    const AttentionGradient gradient =
        attention_backward(q, k, v, attention(q, k, v, shape).out, shape, dout);
    expect_gradient([&](const Matrix& x) { return attention(x, k, v, shape).out; }, q, dout, gradient.dq,
                    "dq");
    expect_gradient([&](const Matrix& x) { return attention(q, x, v, shape).out; }, k, dout, gradient.dk,
                    "dk");
    expect_gradient([&](const Matrix& x) { return attention(q, k, x, shape).out; }, v, dout, gradient.dv,
                    "dv");
  }
}

TEST_F(ReferenceGradients, CrossEntropy) {
  const Matrix logits = random(4, 7);
  Matrix targets(1, 4), ones(1, 4);
  targets.values = {2, -1, 0, 4};
  ones.values = {1, 1, 1, 1};
  expect_gradient([&](const Matrix& x) { return cross_entropy(x, targets, 5, 0, 1).nll; }, logits, ones,
                  cross_entropy(logits, targets, 5, 0, 1).gradient, "logits");
}

}  // namespace
}  // namespace strata::reference
