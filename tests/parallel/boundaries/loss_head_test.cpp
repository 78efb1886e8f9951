// SPDX-License-Identifier: Apache-2.0
// The head on parts of a vocabulary, its logits chunk by chunk, against the head that holds all of it.
#include "core/nn/loss_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>
#include <numeric>

#include "core/device/cpu/cpu_stream.h"
#include "parallel/boundaries/tensor_boundaries.h"
#include "parallel/comm/thread_world.h"
#include "tests/parallel/boundaries/rank_model.h"
#include "tests/support/test_tensors.h"

namespace strata {
namespace {

constexpr int64_t kTokens = 40, kHidden = 24, kVocab = 150, kPadded = 256;

struct Result {
  std::vector<double> dx = std::vector<double>(kTokens * kHidden);
  std::vector<double> matrix = std::vector<double>(kVocab * kHidden), gain = std::vector<double>(kHidden);
  std::vector<double> losses;  // of every rank, of training and of evaluation
  int64_t targets = 0;
};

// A chunk of 16 tokens at a time: the last one is shorter.
Result run_head(int parts, bool sequence, NormKind norm) {
  Result result;
  std::mutex mutex;
  run_ranks(parts, [&](World& world) {
    std::vector<int> members(static_cast<size_t>(parts));
    std::iota(members.begin(), members.end(), 0);
    const auto tensor = world.group({"tensor", members, LinkLevel::node});
    const TensorBoundaries bound(*tensor, sequence);
    const int rank = world.rank();
    const auto head = make_loss_head({.vocab = kVocab,
                                      .padded_vocab = kPadded,
                                      .hidden = kHidden,
                                      .norm = norm,
                                      .chunk_bytes = 16 * kPadded / parts * 4,
                                      .split = {.parts = parts, .part = rank, .sequence = sequence}});
    WorkerPool pool(1);
    CpuStream stream(pool);
    const auto allocator = make_cpu_allocator();
    std::vector<LinearWeight> weights;
    std::vector<Tensor> gradients, packed;
    for (const Parameter& parameter : head->parameters()) {
      const Tensor weight = make_tensor(*allocator, DType::f32, parameter.shape, "weight");
      const LogicalTensor& piece = parameter.pieces[0];
      for_held(piece, [&](int64_t at, int64_t i) { weight.data<float>()[i] = test_value(piece, at); });
      weights.push_back({.weight = weight});
      gradients.push_back(make_tensor(*allocator, DType::f32, parameter.shape, "gradient"));
      if (!parameter.multiplied) continue;
      packed.push_back(make_tensor(*allocator, DType::u8,
                                   {plain_linear_op().packed_bytes(stream, DType::f32, parameter.shape, parameter.recipe)},
                                   "packed"));
      weights.back() = plain_linear_op().bind(stream, weight, packed.back().raw(), parameter.recipe);
      plain_linear_op().pack(stream, weights.back());
    }
    TestTensors t;
    const Tensor all = t.normal(DType::f32, {kTokens * kHidden}).view({kTokens, kHidden});
    const Tensor targets = t.random_ids(kTokens, kVocab);
    for (int64_t i = 0; i < kTokens; i += 9) targets.data<int32_t>()[i] = -1;
    const int64_t rows = sequence ? kTokens / parts : kTokens, first = sequence ? rank * rows : 0;
    const Tensor x = all.slice(0, first, rows), dx = make_tensor(*allocator, DType::f32, x.shape(), "dx");
    const TokenBatch batch{.targets = targets, .loss_scale = 0.25f};
    Context ctx{
        .stream = stream, .batch = batch, .boundaries = bound.set(), .linear = plain_linear_op(), .rope = {}};
    ctx.output = Region(dx.raw(), dx.bytes(), Device{});
    LossSum sum, evaluated;
    head->loss(ctx, weights, {gradients, Write::overwrite}, x, &sum);
    head->loss_only(ctx, weights, x, &evaluated);

    const std::lock_guard lock(mutex);
    if (sequence || rank == 0)
      for (int64_t i = 0; i < dx.numel(); ++i)
        result.dx[static_cast<size_t>(first * kHidden + i)] = dx.data<float>()[i];
    for (size_t p = 0; p < gradients.size(); ++p) {
      const Parameter& parameter = head->parameters()[p];
      if (parameter.role == Role::bias) continue;
      auto& whole = parameter.role == Role::norm ? result.gain : result.matrix;
      if (parameter.gradient.kind == AxisPlacement::Kind::replicate && rank > 0) continue;
      for_held(parameter.pieces[0], [&](int64_t at, int64_t i) {
        whole[static_cast<size_t>(at)] += gradients[p].data<float>()[i];
      });
    }
    for (const LossSum& one : {sum, evaluated}) result.losses.push_back(one.value());
    result.targets = sum.targets;
  });
  return result;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

TEST(LossHead, PartsOfTheVocabularyChunkByChunk) {
  for (const NormKind norm : {NormKind::rms, NormKind::layer}) {
    const Result expected = run_head(1, false, norm);
    const double loss = expected.losses[0];
    EXPECT_GT(loss, 1);
    for (const int parts : {2, 4})
      for (const bool sequence : {false, true}) {
        SCOPED_TRACE(fmt::format("{} parts{}", parts, sequence ? ", sequence parallel" : ""));
        const Result got = run_head(parts, sequence, norm);
        EXPECT_EQ(got.targets, expected.targets);
        EXPECT_THAT(got.losses, testing::Each(got.losses[0]));
        EXPECT_NEAR(got.losses[0], loss, 1e-6 * loss);
        EXPECT_LT(distance(got.dx, expected.dx), 1e-6);
        EXPECT_LT(distance(got.matrix, expected.matrix), 1e-6);
        EXPECT_LT(distance(got.gain, expected.gain), 2e-6);
      }
  }
}

}  // namespace
}  // namespace strata
