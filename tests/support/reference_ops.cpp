// SPDX-License-Identifier: Apache-2.0
#include "tests/support/reference_ops.h"

#include <cmath>

namespace strata::reference {
namespace {

// Calls body(row, first column, index of the statistics) for every group of `width` elements.
template <typename Body>
void for_groups(const Matrix& x, int64_t width, const Body& body) {
  const int64_t groups = x.cols / width;
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t g = 0; g < groups; ++g) body(r, g * width, r * groups + g);
}

NormResult norm(const Matrix& x, const Matrix& weight, const Matrix* bias, double eps) {
  const int64_t width = weight.cols, stats = x.rows * (x.cols / width);
  NormResult result{Matrix(x.rows, x.cols), Matrix(1, stats), Matrix(1, stats)};
  for_groups(x, width, [&](int64_t r, int64_t c, int64_t at) {
    double mean = 0, square = 0;
    if (bias)
      for (int64_t i = 0; i < width; ++i) mean += x(r, c + i) / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i)
      square += std::pow(x(r, c + i) - mean, 2) / static_cast<double>(width);
    const double rstd = 1 / std::sqrt(square + eps);
    for (int64_t i = 0; i < width; ++i)
      result.y(r, c + i) = (x(r, c + i) - mean) * rstd * weight(0, i) + (bias ? (*bias)(0, i) : 0);
    result.mean(0, at) = mean;
    result.rstd(0, at) = rstd;
  });
  return result;
}

NormGradient norm_backward(const Matrix& x, const Matrix& weight, double eps, const Matrix& dy,
                           bool centered) {
  const int64_t width = weight.cols;
  const double n = static_cast<double>(width);
  const Matrix no_bias(1, width);
  const NormResult forward = norm(x, weight, centered ? &no_bias : nullptr, eps);
  NormGradient result{Matrix(x.rows, x.cols), Matrix(1, width), Matrix(1, width)};
  for_groups(x, width, [&](int64_t r, int64_t c, int64_t at) {
    const double mean = forward.mean(0, at), rstd = forward.rstd(0, at);
    double g_mean = 0, gh_mean = 0;
    for (int64_t i = 0; i < width; ++i) {
      const double h = (x(r, c + i) - mean) * rstd, g = dy(r, c + i) * weight(0, i);
      g_mean += g / n;
      gh_mean += g * h / n;
      result.dweight(0, i) += dy(r, c + i) * h;
      result.dbias(0, i) += dy(r, c + i);
    }
    for (int64_t i = 0; i < width; ++i) {
      const double h = (x(r, c + i) - mean) * rstd, g = dy(r, c + i) * weight(0, i);
      result.dx(r, c + i) = rstd * (g - h * gh_mean - (centered ? g_mean : 0));
    }
  });
  return result;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Calls body(segment, i, j) for every query i and key j of a segment that see each other; i and j are global.
template <typename Body>
void for_visible(const AttentionShape& shape, const Body& body) {
  for (const AttentionSegment& s : shape.segments)
    for (int64_t i = 0; i < s.q_count; ++i)
      for (int64_t j = 0; j < s.k_count; ++j)
        if (!shape.causal || j <= i + s.diagonal) body(s.q_begin + i, s.k_begin + j);
}

double dot(const Matrix& a, int64_t i, int64_t a_column, const Matrix& b, int64_t j, int64_t b_column,
           int64_t n) {
  double total = 0;
  for (int64_t c = 0; c < n; ++c) total += a(i, a_column + c) * b(j, b_column + c);
  return total;
}

}  // namespace

NormResult rms_norm(const Matrix& x, const Matrix& weight, double eps) {
  return norm(x, weight, nullptr, eps);
}
NormResult layer_norm(const Matrix& x, const Matrix& weight, const Matrix& bias, double eps) {
  return norm(x, weight, &bias, eps);
}
NormGradient rms_norm_backward(const Matrix& x, const Matrix& weight, double eps, const Matrix& dy) {
  return norm_backward(x, weight, eps, dy, false);
}
NormGradient layer_norm_backward(const Matrix& x, const Matrix& weight, double eps, const Matrix& dy) {
  return norm_backward(x, weight, eps, dy, true);
}

Matrix rope(const Matrix& x, const Matrix& positions, const Matrix& cos, const Matrix& sin, bool inverse) {
  Matrix y = x;
  const int64_t half = cos.cols;
  for (int64_t r = 0; r < x.rows; ++r)
    for (int64_t h = 0; h < x.cols / (2 * half); ++h)
      for (int64_t i = 0; i < half; ++i) {
        const int64_t first = h * 2 * half + i, second = first + half;
        const auto p = static_cast<int64_t>(positions(0, r));
        const double c = cos(p, i), s = inverse ? -sin(p, i) : sin(p, i);
        y(r, first) = x(r, first) * c - x(r, second) * s;
        y(r, second) = x(r, second) * c + x(r, first) * s;
      }
  return y;
}

Matrix swiglu(const Matrix& gate_up) {
  const int64_t width = gate_up.cols / 2;
  Matrix y(gate_up.rows, width);
  for (int64_t r = 0; r < y.rows; ++r)
    for (int64_t i = 0; i < width; ++i)
      y(r, i) = gate_up(r, i) * sigmoid(gate_up(r, i)) * gate_up(r, width + i);
  return y;
}

Matrix swiglu_backward(const Matrix& gate_up, const Matrix& dy) {
  const int64_t width = gate_up.cols / 2;
  Matrix d(gate_up.rows, gate_up.cols);
  for (int64_t r = 0; r < d.rows; ++r)
    for (int64_t i = 0; i < width; ++i) {
      const double g = gate_up(r, i), u = gate_up(r, width + i), s = sigmoid(g);
      d(r, i) = dy(r, i) * u * (s + g * s * (1 - s));
      d(r, width + i) = dy(r, i) * g * s;
    }
  return d;
}

Matrix gelu(const Matrix& x) {
  Matrix y = x;
  for (double& v : y.values) v = v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
  return y;
}

Matrix gelu_backward(const Matrix& x, const Matrix& dy) {
  Matrix d = dy;
  for (size_t i = 0; i < d.values.size(); ++i) {
    const double v = x.values[i], k = std::sqrt(2 / M_PI), t = std::tanh(k * (v + 0.044715 * v * v * v));
    d.values[i] *= (1 + t) / 2 + v / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * v * v);
  }
  return d;
}

AttentionResult attention(const Matrix& q, const Matrix& k, const Matrix& v, const AttentionShape& shape) {
  const int64_t d = q.cols / shape.heads, e = v.cols / shape.kv_heads;
  AttentionResult result{Matrix(q.rows, shape.heads * e), Matrix(shape.heads, q.rows)};
  for (double& lse : result.lse.values) lse = -INFINITY;
  for (int64_t h = 0; h < shape.heads; ++h) {
    const int64_t hk = h / (shape.heads / shape.kv_heads);
    std::vector<double> top(static_cast<size_t>(q.rows), -INFINITY), total(static_cast<size_t>(q.rows));
    const auto score = [&](int64_t i, int64_t j) { return shape.scale * dot(q, i, h * d, k, j, hk * d, d); };
    for_visible(shape, [&](int64_t i, int64_t j) {
      top[static_cast<size_t>(i)] = std::max(top[static_cast<size_t>(i)], score(i, j));
    });
    for_visible(shape, [&](int64_t i, int64_t j) {
      total[static_cast<size_t>(i)] += std::exp(score(i, j) - top[static_cast<size_t>(i)]);
    });
    for_visible(shape, [&](int64_t i, int64_t j) {
      const double lse = top[static_cast<size_t>(i)] + std::log(total[static_cast<size_t>(i)]);
      result.lse(h, i) = lse;
      for (int64_t c = 0; c < e; ++c)
        result.out(i, h * e + c) += std::exp(score(i, j) - lse) * v(j, hk * e + c);
    });
  }
  return result;
}

AttentionGradient attention_backward(const Matrix& q, const Matrix& k, const Matrix& v, const Matrix& out,
                                     const AttentionShape& shape, const Matrix& dout) {
  const int64_t d = q.cols / shape.heads, e = v.cols / shape.kv_heads;
  const Matrix lse = attention(q, k, v, shape).lse;
  AttentionGradient result{Matrix(q.rows, q.cols), Matrix(k.rows, k.cols), Matrix(v.rows, v.cols)};
  for (int64_t h = 0; h < shape.heads; ++h) {
    const int64_t hk = h / (shape.heads / shape.kv_heads);
    for_visible(shape, [&](int64_t i, int64_t j) {
      const double p = std::exp(shape.scale * dot(q, i, h * d, k, j, hk * d, d) - lse(h, i));
      const double dp = dot(dout, i, h * e, v, j, hk * e, e);
      const double ds = shape.scale * p * (dp - dot(dout, i, h * e, out, i, h * e, e));
      for (int64_t c = 0; c < e; ++c) result.dv(j, hk * e + c) += p * dout(i, h * e + c);
      for (int64_t c = 0; c < d; ++c) {
        result.dk(j, hk * d + c) += ds * q(i, h * d + c);
        result.dq(i, h * d + c) += ds * k(j, hk * d + c);
      }
    });
  }
  return result;
}

CrossEntropyResult cross_entropy(const Matrix& logits, const Matrix& targets, int64_t vocab,
                                 int64_t first_token, double scale) {
  CrossEntropyResult result{Matrix(1, logits.rows), Matrix(1, logits.rows), Matrix(1, logits.rows),
                            Matrix(1, logits.rows), Matrix(logits.rows, logits.cols)};
  for (int64_t r = 0; r < logits.rows; ++r) {
    double top = -INFINITY, total = 0;
    for (int64_t j = 0; j < vocab; ++j) top = std::max(top, logits(r, j));
    for (int64_t j = 0; j < vocab; ++j) total += std::exp(logits(r, j) - top);
    const auto target = static_cast<int64_t>(targets(0, r));
    const int64_t column = target - first_token;
    const bool mine = target >= 0 && column >= 0 && column < vocab;
    result.max(0, r) = top;
    result.sum(0, r) = total;
    result.target_logit(0, r) = mine ? logits(r, column) : 0;
    if (target < 0) continue;
    result.nll(0, r) = top + std::log(total) - result.target_logit(0, r);
    for (int64_t j = 0; j < vocab; ++j)
      result.gradient(r, j) = scale * (std::exp(logits(r, j) - top) / total - (mine && j == column ? 1 : 0));
  }
  return result;
}

}  // namespace strata::reference
