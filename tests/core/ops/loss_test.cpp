// SPDX-License-Identifier: Apache-2.0
#include "core/ops/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/ops/elementwise.h"
#include "tests/support/reference_ops.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

using reference::expect_close;
using reference::Matrix;
using reference::to_matrix;

struct LossCase {
  int64_t rows, vocab, padded, first_token;
  DType type;
  double spread;
};

struct LossOperands {
  LossOperands(TestTensors& t, const LossCase& c) : logits(t.normal(c.type, {c.rows, c.padded}, c.spread)) {
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
      for (int64_t j = c.vocab; j < c.padded; ++j) t.set(logits, r, j, NAN);
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
        const LossCase c{rows, vocab, padded, first, type, spread};
        const std::string what = fmt::format("rows {} vocab {} padded {} first {} {} spread {}", rows, vocab,
                                             padded, first, name(type), spread);
        TestTensors t;
        const LossOperands in(t, c);
        constexpr float kScale = 0.125f;
        const auto expected =
            reference::cross_entropy(to_matrix(in.logits), to_matrix(in.targets), vocab, first, kScale);
        const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
          const LossOperands o(tensors, c);
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
          const Tensor after = tensors.clone(o.logits);
          args.gradient = true;
          cross_entropy(stream, args);
          return std::vector{o.max, o.sum, o.target_logit, o.nll, o.logits, before, after};
        });
        EXPECT_TRUE(bytes_of(got[5]) == bytes_of(got[6])) << "without gradient the logits stay";
        expect_close(got[0], expected.max, {.sums = 0, .scale = 1}, what + " max");
        expect_close(got[1], expected.sum, {.sums = 8 + static_cast<double>(vocab) / 16 / 8}, what + " sum");
        expect_close(got[2], expected.target_logit, {.sums = 0, .scale = 1}, what + " target logit");
        expect_close(got[3], expected.nll, {.sums = 8, .scale = 5 * spread + 12}, what + " nll");
        expect_close(got[4], expected.gradient, {.sums = 16, .scale = kScale}, what + " gradient");
      }
}

// Ranks that hold parts of the vocabulary, one of them nothing but padding: combining their maxima and sums
// gives the loss of the whole.
TEST(Loss, PartsOfTheVocabularyCombine) {
  constexpr int64_t kRows = 9, kWidth = 37, kVocab = 2 * kWidth - 5;
  constexpr int kParts = 3;
  TestTensors t;
  const auto make = [&](TestTensors& tensors) {
    return std::pair{tensors.normal(DType::f32, {kRows, kParts * kWidth}, 5),
                     tensors.random_ids(kRows, kVocab)};
  };
  const auto [logits, targets] = make(t);
  auto expected = reference::cross_entropy(to_matrix(logits), to_matrix(targets), kVocab, 0, 1);
  for (int64_t i = 0; i < kRows; ++i)
    for (int64_t j = kVocab; j < kParts * kWidth; ++j) expected.gradient(i, j) = 0;
  const auto got = run_everywhere([&](Stream& stream, TestTensors& tensors) {
    const auto [all, ids] = make(tensors);
    Tensor max[kParts], sum[kParts], target[kParts], part[kParts];
    const auto real = [&](int r) { return std::clamp<int64_t>(kVocab - r * kWidth, 0, kWidth); };
    for (int r = 0; r < kParts; ++r) {
      part[r] = all.slice(1, r * kWidth, kWidth);
      for (Tensor* x : {&max[r], &sum[r], &target[r]}) *x = tensors.uninitialised(DType::f32, {kRows});
      softmax_stats(stream, {part[r], ids, real(r), r * kWidth, max[r], sum[r], target[r]});
    }
    stream.synchronize();
    std::vector<double> tops(kRows, -INFINITY);
    for (const Tensor& m : max) {
      const Matrix values = to_matrix(tensors.on_host(m));
      for (size_t i = 0; i < tops.size(); ++i) tops[i] = std::max(tops[i], values.values[i]);
    }
    const Tensor top = tensors.numbers(DType::f32, {kRows}, tops),
                 total = tensors.filled(DType::f32, {kRows}, 0),
                 logit = tensors.filled(DType::f32, {kRows}, 0),
                 nll = tensors.uninitialised(DType::f32, {kRows});
    for (int r = 0; r < kParts; ++r) {
      rescale_sums(stream, max[r], top, sum[r]);
      add(stream, total, sum[r], total);
      add(stream, logit, target[r], logit);
    }
    for (int r = 0; r < kParts; ++r)
      cross_entropy(stream, {part[r], ids, real(r), r * kWidth, top, total, logit, nll, {}, 1.0f, true});
    return std::vector{nll, all};
  });
  expect_close(got[0], expected.nll, {.sums = 8, .scale = 20}, "nll");
  expect_close(got[1], expected.gradient, {.sums = 16, .scale = 1}, "gradient");
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
    cross_entropy(stream, {logits, targets, 40, 0, max, sum, target, nll, {}, 1.0f, true});
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
    EXPECT_STREQ(error.what(), "[softmax_stats] vocab 9 is outside [0, 8], the columns of logits");
  }
}

}  // namespace
}  // namespace strata
