// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

struct Case {
  int64_t rows, vocab, padded, first_token;
  DType type;
  double spread;
};

struct Operands {
  Operands(TestTensors& t, const Case& c) : logits(t.normal(c.type, {c.rows, c.padded}, c.spread)) {
    std::vector<int32_t> ids;
    for (int64_t r = 0; r < c.rows; ++r) {
      // Ignored, before the range, after it, its last and some column within.
      const int64_t choices[] = {r * 7 % c.vocab, c.vocab - 1,        -1,
                                 c.vocab + 3,     -1 - c.first_token, r % c.vocab};
      const int64_t column = choices[r % 6];
      ids.push_back(column == -1 ? -1 : static_cast<int32_t>(std::max<int64_t>(0, column + c.first_token)));
    }
    targets = t.ids(ids);
    for (Tensor* x : {&max, &sum, &target_logit, &nll}) *x = t.uninitialised(DType::f32, {c.rows});
    // Whatever lies in padding columns must not matter.
    for (int64_t r = 0; r < c.rows; ++r)
      for (int64_t j = c.vocab; j < c.padded; ++j) set_element(logits, r, j, NAN);
  }
  Tensor logits, targets, max, sum, target_logit, nll;
};

TEST(Loss, IsTheReference) {
  for (const auto& [rows, vocab, padded, first] : std::vector<std::array<int64_t, 4>>{{1, 1, 1, 0},
                                                                                      {3, 5, 8, 0},
                                                                                      {7, 16, 16, 32},
                                                                                      {13, 257, 320, 100},
                                                                                      {20, 1000, 1024, 0},
                                                                                      {2, 50257, 50304, 0}})
    for (const DType type : {DType::f32, DType::bf16})
      for (const double spread : {1.0, 30.0}) {
        const Case c{rows, vocab, padded, first, type, spread};
        const std::string what = fmt::format("rows {} vocab {} padded {} first {} {} spread {}", rows, vocab,
                                             padded, first, name(type), spread);
        TestTensors t;
        const Operands in(t, c);
        constexpr float kScale = 0.125f;
        const auto expected =
            reference::cross_entropy(to_matrix(in.logits), to_matrix(in.targets), vocab, first, kScale);
        const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
          const Operands o(tensors, c);
          softmax_stats(stream, {.logits = o.logits,
                                 .targets = o.targets,
                                 .vocab = vocab,
                                 .first_token = first,
                                 .max = o.max,
                                 .sum = o.sum,
                                 .target_logit = o.target_logit});
          CrossEntropy args{.logits = o.logits,
                            .targets = o.targets,
                            .vocab = vocab,
                            .first_token = first,
                            .max = o.max,
                            .sum = o.sum,
                            .target_logit = o.target_logit,
                            .nll = o.nll,
                            .scale = kScale,
                            .gradient = false};
          stream.synchronize();
          const Tensor before = tensors.clone(o.logits);
          cross_entropy(stream, args);
          stream.synchronize();
          EXPECT_TRUE(bytes_of(before) == bytes_of(o.logits)) << "without gradient the logits stay";
          args.gradient = true;
          cross_entropy(stream, args);
          return std::vector{o.max, o.sum, o.target_logit, o.nll, o.logits};
        });
        expect_close(got[0], expected.max, {.sums = 0, .scale = 1}, what + " max");
        expect_close(got[1], expected.sum, {.sums = 8 + static_cast<double>(vocab) / 16 / 8}, what + " sum");
        expect_close(got[2], expected.target_logit, {.sums = 0, .scale = 1}, what + " target logit");
        expect_close(got[3], expected.nll, {.sums = 8, .scale = 5 * spread + 12}, what + " nll");
        expect_close(got[4], expected.gradient, {.sums = 16, .scale = kScale}, what + " gradient");
      }
}

// Two ranks that hold halves of the vocabulary: combining their maxima and sums gives the loss of the whole.
TEST(Loss, HalvesOfTheVocabularyCombine) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const int64_t rows = 9, half = 37;
  const Tensor logits = t.normal(DType::f32, {rows, 2 * half}, 5), targets = t.random_ids(rows, 2 * half);
  const auto expected = reference::cross_entropy(to_matrix(logits), to_matrix(targets), 2 * half, 0, 1);
  Tensor max[2], sum[2], target[2], part[2];
  for (int64_t r = 0; r < 2; ++r) {
    part[r] = logits.slice(1, r * half, half);
    max[r] = t.uninitialised(DType::f32, {rows});
    sum[r] = t.uninitialised(DType::f32, {rows});
    target[r] = t.uninitialised(DType::f32, {rows});
    softmax_stats(stream, {part[r], targets, half, r * half, max[r], sum[r], target[r]});
  }
  for (int64_t i = 0; i < rows; ++i) {
    float* m[] = {max[0].data<float>() + i, max[1].data<float>() + i};
    float* s[] = {sum[0].data<float>() + i, sum[1].data<float>() + i};
    float* l[] = {target[0].data<float>() + i, target[1].data<float>() + i};
    const float top = std::max(*m[0], *m[1]);
    const float total = *s[0] * std::exp(*m[0] - top) + *s[1] * std::exp(*m[1] - top), logit = *l[0] + *l[1];
    for (int r = 0; r < 2; ++r) *m[r] = top, *s[r] = total, *l[r] = logit;
  }
  const Tensor nll = t.uninitialised(DType::f32, {rows});
  for (int64_t r = 0; r < 2; ++r)
    cross_entropy(stream, {part[r], targets, half, r * half, max[r], sum[r], target[r], nll, 1.0f, true});
  expect_close(nll, expected.nll, {.sums = 8, .scale = 20}, "nll");
  expect_close(logits, expected.gradient, {.sums = 16, .scale = 1}, "gradient");
}

TEST(Loss, NanLogitsGiveANanLoss) {
  WorkerPool pool(1);
  for (const Isa isa : isas_here()) {
    CpuStream stream(pool, CpuStream::Mode::inline_, isa);
    TestTensors t;
    const Tensor logits = t.normal(DType::bf16, {1, 40}), targets = t.ids({3});
    set_element(logits, 0, 20, NAN);
    const Tensor max = t.uninitialised(DType::f32, {1}), sum = t.uninitialised(DType::f32, {1});
    const Tensor target = t.uninitialised(DType::f32, {1}), nll = t.uninitialised(DType::f32, {1});
    softmax_stats(stream, {logits, targets, 40, 0, max, sum, target});
    cross_entropy(stream, {logits, targets, 40, 0, max, sum, target, nll, 1.0f, true});
    EXPECT_TRUE(std::isnan(nll.data<float>()[0])) << name(isa);
  }
}

TEST(Loss, BrokenContractsAreNamed) {
  WorkerPool pool(1);
  CpuStream stream(pool);
  TestTensors t;
  const Tensor stat = t.normal(DType::f32, {2}), logits = t.normal(DType::f32, {2, 8});
  try {
    softmax_stats(stream, {logits, t.ids({1, 2}), 9, 0, stat, stat, stat});
    ADD_FAILURE() << "no error";
  } catch (const ContractError& error) {
    EXPECT_STREQ(error.what(), "[softmax_stats] vocab 9 is outside [1, 8], the columns of logits");
  }
}

}  // namespace
}  // namespace strata
