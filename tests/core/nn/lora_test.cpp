// SPDX-License-Identifier: Apache-2.0
// Low-rank adapters of a fused layer against double precision: the result, and every gradient by finite
// differences of sum(dy * y).
#include "core/nn/lora.h"

#include <gtest/gtest.h>

#include "core/base/hash.h"
#include "core/nn/initial_values.h"
#include "core/nn/layers.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "tests/support/matrix.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

constexpr float kScale = 0.75f;
constexpr TokenRun kRuns[] = {{.begin = 0, .count = 1, .first = 70}, {.begin = 1, .count = 100, .first = 9}};

struct Case {
  int64_t tokens, in, rank;
  std::vector<int64_t> rows;      // of the layer's pieces
  std::vector<bool> has_adapter;  // of each
  DType type;
  float dropout = 0;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const DType type : {DType::f32, DType::bf16}) {
    all.push_back({1, 1, 1, {1}, {true}, type});
    all.push_back({3, 7, 2, {5}, {true}, type});
    all.push_back({5, 9, 3, {5, 3, 7}, {true, true, true}, type});
    all.push_back({4, 8, 3, {6, 2, 2}, {true, false, true}, type});
    all.push_back({6, 16, 4, {4, 9, 3}, {false, true, false}, type});
    all.push_back({5, 9, 3, {5, 3, 7}, {true, true, true}, type, 0.4f});
  }
  return all;
}

// The parameters as the block would have them: weight, A, B.
struct Layer {
  std::vector<Parameter> parameters;
  LinearLayer linear;

  explicit Layer(const Case& c, const Split& split = {}, Cut cut = Cut::whole) {
    LoraSpec spec{.rank = c.rank, .scale = kScale, .dropout = c.dropout, .seed = 7};
    std::vector<ParameterList::Piece> pieces;
    for (size_t i = 0; i < c.rows.size(); ++i) {
      pieces.push_back({fmt::format("piece{}", i), c.rows[i]});
      if (c.has_adapter[i]) spec.targets.push_back(fmt::format("piece{}", i));
    }
    linear = ParameterList(parameters, "layers.0.", split, spec).linear("fused", pieces, c.in, false, 1, cut);
  }
};

// What dropout leaves of x: element (token, feature) of a run's tokens, under the layer's name.
Matrix left_of(const Case& c, Matrix x) {
  if (c.dropout == 0) return x;
  const RandomKey key{.seed = 7, .stream = hash_name("layers.0.fused.dropout")};
  for (int64_t t = 0; t < x.rows; ++t)
    for (int64_t i = 0; i < x.cols; ++i) {
      const TokenRun& run = kRuns[t == 0 ? 0 : 1];
      const auto element = static_cast<uint64_t>((run.first + t - run.begin) * c.in + i);
      x(t, i) *= static_cast<double>(
          dropout_factor(random_block(key, element / kDropsPerBlock), element, dropout_rate(c.dropout)));
    }
  return x;
}

// What the adapters add, in doubles: the columns of pieces without one stay as they are.
Matrix reference_part(const Case& c, const Matrix& whole_x, const Matrix& a, const Matrix& b) {
  const Matrix x = left_of(c, whole_x);
  int64_t out = 0;
  for (const int64_t rows : c.rows) out += rows;
  Matrix y(x.rows, out);
  int64_t column = 0, low = 0, row = 0;
  for (size_t piece = 0; piece < c.rows.size(); ++piece) {
    if (c.has_adapter[piece]) {
      for (int64_t t = 0; t < x.rows; ++t)
        for (int64_t o = 0; o < c.rows[piece]; ++o)
          for (int64_t r = 0; r < c.rank; ++r)
            for (int64_t i = 0; i < c.in; ++i)
              y(t, column + o) += kScale * x(t, i) * a(low + r, i) * b(row + o, r);
      low += c.rank;
      row += c.rows[piece];
    }
    column += c.rows[piece];
  }
  return y;
}

TEST(Lora, ProductAndGradientsAreThoseOfTheFormula) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(fmt::format("{} tokens, {} in, rank {}, {} pieces, {}", c.tokens, c.in, c.rank,
                             c.rows.size(), name(c.type)));
    const Layer layer(c);
    const LoraLayer& lora = layer.linear.lora;
    const Shape a_shape = layer.parameters[static_cast<size_t>(lora.a)].shape,
                b_shape = layer.parameters[static_cast<size_t>(lora.b)].shape;
    const int64_t out = layer.parameters[0].shape[0];
    // f32: a few roundings. bf16: what is between the two products has 8 bits, and so do the sums with y.
    const double sums = c.type == DType::f32 ? 32 : 3 * 65536;
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      Matrix x, a, b, dy, y0, dx0, da0, db0;
      const auto results = run_everywhere(
          [&](Stream& stream, TestTensors& make) {
            const Tensor x_t = make.normal(c.type, {c.tokens, c.in}), a_t = make.normal(c.type, a_shape),
                         b_t = make.normal(c.type, b_shape), dy_t = make.normal(c.type, {c.tokens, out});
            const Tensor y = make.normal(c.type, {c.tokens, out}), dx = make.normal(c.type, {c.tokens, c.in});
            const Tensor da = make.normal(DType::f32, a_shape), db = make.normal(DType::f32, b_shape);
            const auto value = [&](const Tensor& t) { return to_matrix(make.on_host(t)); };
            x = value(x_t), a = value(a_t), b = value(b_t), dy = value(dy_t);
            y0 = value(y), dx0 = value(dx), da0 = value(da), db0 = value(db);
            const Tensor low = make.uninitialised(c.type, {c.tokens, lora.width()}),
                         dlow = make.uninitialised(c.type, {c.tokens, lora.width()});
            std::vector<TokenRun> runs(std::begin(kRuns), std::end(kRuns));
            runs[1].count = c.tokens - 1;
            const TokenBatch batch{.runs = runs};
            const BoundarySet boundaries;
            Context ctx{.stream = stream,
                        .batch = batch,
                        .boundaries = boundaries,
                        .linear = plain_linear_op(),
                        .training = true};
            const std::vector<LinearWeight> weights{{}, {.weight = a_t}, {.weight = b_t}};
            const std::vector<Tensor> gradients{{}, da, db};
            lora.forward(ctx, weights, x_t, low, y);
            lora.backward_input(ctx, weights, dy_t, dlow, dx);
            lora.backward_weight(ctx, {gradients, write}, dy_t, x_t, low, dlow);
            stream.synchronize();
            return std::vector<Tensor>{y, dx, da, db};
          },
          {isas_here().back()});
      const auto plus = [](Matrix m, const Matrix& before, bool add) {
        for (size_t i = 0; add && i < m.values.size(); ++i) m.values[i] += before.values[i];
        return m;
      };
      const auto tolerance = [&](const Matrix& expected) {
        double largest = 1;
        for (const double v : expected.values) largest = std::max(largest, std::abs(v));
        return reference::Tolerance{sums, 4 * largest};
      };
      const auto compare = [&](const Tensor& got, const Matrix& expected, const char* what) {
        expect_close(got, expected, tolerance(expected), what);
      };
      const bool adds = write == Write::accumulate;
      compare(results[0], plus(reference_part(c, x, a, b), y0, true), "y");
      const auto gradient = [&](int which) {
        Matrix gx = x, ga = a, gb = b;
        Matrix& varied = which == 0 ? gx : which == 1 ? ga : gb;
        const std::vector<double> at = varied.values;
        Matrix g(varied.rows, varied.cols);
        g.values = reference::finite_differences(
            [&](const std::vector<double>& values) {
              varied.values = values;
              const Matrix y = reference_part(c, gx, ga, gb);
              double sum = 0;
              for (size_t i = 0; i < y.values.size(); ++i) sum += dy.values[i] * y.values[i];
              return sum;
            },
            at);
        return g;
      };
      compare(results[1], plus(gradient(0), dx0, true), "dx");
      compare(results[2], plus(gradient(1), da0, adds), "dA");
      compare(results[3], plus(gradient(2), db0, adds), "dB");
    }
  }
}

// Parts drop what the whole drops; nothing is dropped outside of training.
TEST(Lora, DropoutOfPartsIsThatOfTheWhole) {
  const Case c{3, 24, 2, {4}, {true}, DType::f32, 0.5f};
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors make;
  const Tensor x = make.normal(DType::f32, {3, 24}), a = make.normal(DType::f32, {2, 24}),
               b = make.normal(DType::f32, {4, 2});
  const TokenRun run{.count = 3, .first = 1000};
  const TokenBatch batch{.runs = {&run, 1}};
  const BoundarySet boundaries;
  // The sum over parts that share the layer's inputs.
  const auto result = [&](int parts, bool training) {
    const Tensor y = make.filled(DType::f32, {3, 4}, 0), low = make.uninitialised(DType::f32, {3, 2});
    for (int part = 0; part < parts; ++part) {
      const Layer layer(c, {.parts = parts, .part = part}, Cut::inputs);
      Context ctx{.stream = stream,
                  .batch = batch,
                  .boundaries = boundaries,
                  .linear = plain_linear_op(),
                  .training = training};
      const int64_t width = 24 / parts;
      const std::vector<LinearWeight> weights{{}, {.weight = a.slice(1, part * width, width)}, {.weight = b}};
      layer.linear.lora.forward(ctx, weights, x.slice(1, part * width, width), low, y);
    }
    return to_matrix(y);
  };
  const Matrix whole = result(1, true), halves = result(2, true), thirds = result(3, true),
               without = result(1, false);
  double changed = 0;
  for (size_t i = 0; i < whole.values.size(); ++i) {
    EXPECT_NEAR(halves.values[i], whole.values[i], 1e-5);
    EXPECT_NEAR(thirds.values[i], whole.values[i], 1e-5);
    changed = std::max(changed, std::abs(without.values[i] - whole.values[i]));
  }
  EXPECT_GT(changed, 0.1);
  Case plain = c;
  plain.dropout = 0;
  const Matrix expected = reference_part(plain, to_matrix(x), to_matrix(a), to_matrix(b));
  for (size_t i = 0; i < expected.values.size(); ++i)
    EXPECT_NEAR(without.values[i], expected.values[i], 1e-5);
}

// What parts hold of A and B, and what their gradients are, follows from how the layer is cut.
TEST(Lora, PartsOfACutLayer) {
  const Case c{1, 8, 2, {6, 4}, {true, true}, DType::f32};
  const auto parameters = [&](Cut cut, int part) {
    return Layer(c, {.parts = 2, .part = part}, cut).parameters;
  };
  using Kind = AxisPlacement::Kind;
  const auto outputs = parameters(Cut::outputs, 1), inputs = parameters(Cut::inputs, 1);
  EXPECT_EQ(outputs[1].shape, (Shape{4, 8}));
  EXPECT_EQ(outputs[1].value.kind, Kind::replicate);
  EXPECT_EQ(outputs[1].gradient.kind, Kind::partial);
  EXPECT_EQ(outputs[2].shape, (Shape{5, 2}));
  EXPECT_EQ(outputs[2].pieces[0].held, (Rect{{3, 0}, {3, 2}}));
  EXPECT_EQ(outputs[2].pieces[1].first_row, 3);
  EXPECT_EQ(outputs[2].gradient.kind, Kind::shard);
  EXPECT_EQ(inputs[1].shape, (Shape{4, 4}));
  EXPECT_EQ(inputs[1].pieces[1].held, (Rect{{0, 4}, {2, 4}}));
  EXPECT_EQ(inputs[1].gradient.kind, Kind::shard);
  EXPECT_EQ(inputs[2].shape, (Shape{10, 2}));
  EXPECT_EQ(inputs[2].value.kind, Kind::replicate);
  EXPECT_EQ(inputs[2].gradient.kind, Kind::partial);
  EXPECT_EQ(outputs[1].name, "layers.0.fused.lora_a");
  EXPECT_EQ(outputs[2].pieces[1].name, "layers.0.piece1.lora_b");
}

// Begins as peft does: A uniform within 1 / sqrt(in), filled alike by every layout; B zero.
TEST(Lora, InitialValues) {
  const Case c{1, 400, 8, {50, 50}, {true, true}, DType::f32};
  TestTensors make;
  WorkerPool pool(1);
  CpuStream stream(pool);
  const auto fill = [&](const Layer& layer, size_t which) {
    const Parameter& parameter = layer.parameters[which];
    const auto allocator = make_cpu_allocator();
    const Tensor values = make_tensor(*allocator, DType::f32, parameter.shape, "values");
    fill_initial(stream, parameter, values, 7);
    stream.synchronize();
    return to_matrix(values);
  };
  const Matrix whole = fill(Layer(c), 1), part = fill(Layer(c, {.parts = 2, .part = 1}, Cut::inputs), 1);
  double sum = 0, squares = 0, largest = 0;
  for (const double v : whole.values) {
    sum += v;
    squares += v * v;
    largest = std::max(largest, std::abs(v));
  }
  const auto n = static_cast<double>(whole.values.size());
  EXPECT_NEAR(sum / n, 0, 0.002);
  EXPECT_NEAR(squares / n, 1.0 / 1200, 0.00003);
  EXPECT_LE(largest, 0.05);
  EXPECT_GT(largest, 0.0499);
  for (int64_t i = 0; i < part.rows; ++i)
    for (int64_t j = 0; j < part.cols; ++j) ASSERT_EQ(part(i, j), whole(i, 200 + j));
  for (const double v : fill(Layer(c), 2).values) ASSERT_EQ(v, 0);
}

TEST(Lora, PatternsMeanWholeNamesOrTheirEnds) {
  EXPECT_TRUE(lora_pattern_matches("attention.query", "layers.3.attention.query"));
  EXPECT_TRUE(lora_pattern_matches("layers.3.*", "layers.3.attention.query"));
  EXPECT_TRUE(lora_pattern_matches("query", "layers.3.attention.query"));
  EXPECT_FALSE(lora_pattern_matches("uery", "layers.3.attention.query"));
  EXPECT_FALSE(lora_pattern_matches("mlp.*", "layers.3.attention.query"));
}

}  // namespace
}  // namespace strata
