// SPDX-License-Identifier: Apache-2.0
// What boundaries and the ring receive, as a plan counts it: the formulas of the literature, to the byte (x =
// one micro-batch of hidden states, t = tensor ranks, c = context ranks). And memory: what sequence
// parallelism saves.
#include <gtest/gtest.h>

#include "core/dist/mesh.h"
#include "tests/parallel/boundaries/layout_run.h"

namespace strata {
namespace {

ModelSpec wide_spec(const char* arch) {
  return {.arch = arch,
          .layers = 2,
          .hidden = 64,
          .heads = 16,
          .kv_heads = 16,
          .head_dim = 4,
          .ffn = 96,
          .vocab = 300,
          .max_positions = 256,
          .tied = true};
}

constexpr int64_t kRows = 2, kSequence = 256;

struct Wire {
  explicit Wire(const WorkCount& work)
      : tensor(work.wire_bytes[static_cast<size_t>(LinkLevel::node)]),
        context(work.wire_bytes[static_cast<size_t>(LinkLevel::rail)]) {}
  int64_t tensor, context;
};

class ByteCount : public testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  RankPlan plan(const TestLayout& layout, int rank = 0) const {
    const ModelSpec spec = wide_spec(std::get<0>(GetParam()));
    return plan_layout(spec, type(), packed_batch(kRows, kSequence, spec.vocab), layout, rank);
  }
  DType type() const { return std::get<1>(GetParam()); }
  int64_t hidden_bytes(int cp = 1) const { return kRows * kSequence / cp * 64 * size_of(type()); }
};

TEST_P(ByteCount, OneRankReceivesNothing) {
  for (const BlockWork& work : plan({}).work)
    for (const WorkCount& count : {work.forward, work.backward_input, work.backward_weight}) {
      EXPECT_EQ(Wire(count).tensor, 0);
      EXPECT_EQ(Wire(count).context, 0);
    }
}

// Two all-reduces each way; those of the backward pass belong to backward_input.
TEST_P(ByteCount, TensorParallel) {
  for (const int t : {2, 4, 8, 16}) {
    const auto work = plan({.tp = t}, t - 1).work;
    const int64_t all_reduce = 2 * hidden_bytes() * (t - 1) / t,
                  vector = 2 * kRows * kSequence * 4 * (t - 1) / t;
    EXPECT_EQ(Wire(work[0].forward).tensor, all_reduce);
    EXPECT_EQ(Wire(work[0].backward_weight).tensor, 0);
    for (const size_t layer : {1, 2}) {
      EXPECT_EQ(Wire(work[layer].forward).tensor, 2 * all_reduce);
      EXPECT_EQ(Wire(work[layer].backward_input).tensor, 2 * all_reduce);
      EXPECT_EQ(Wire(work[layer].backward_weight).tensor, 0);
    }
    // The gradient of the logits' input, and three vectors of f32 for the loss.
    EXPECT_EQ(Wire(work[3].forward).tensor, all_reduce + 3 * vector);
  }
}

// An all-gather and a reduce-scatter in place of each all-reduce, and two all-gathers more for the gradients
// of the weights: 10 x (t - 1) / t a layer.
TEST_P(ByteCount, SequenceParallel) {
  for (const int t : {2, 4, 8, 16}) {
    const auto work = plan({.tp = t, .sequence = true}, t / 2).work;
    const int64_t gather = hidden_bytes() * (t - 1) / t, vector = 2 * kRows * kSequence * 4 * (t - 1) / t;
    EXPECT_EQ(Wire(work[0].forward).tensor, gather);
    EXPECT_EQ(Wire(work[0].backward_weight).tensor, gather);
    for (const size_t layer : {1, 2}) {
      EXPECT_EQ(Wire(work[layer].forward).tensor, 4 * gather);
      EXPECT_EQ(Wire(work[layer].backward_input).tensor, 4 * gather);
      EXPECT_EQ(Wire(work[layer].backward_weight).tensor, 2 * gather);
    }
    EXPECT_EQ(Wire(work[3].forward).tensor, 2 * gather + 3 * vector);
  }
}

// Keys and values of the others once each way, and their gradients in f32.
TEST_P(ByteCount, ContextRing) {
  for (const int c : {2, 4, 8}) {
    const auto work = plan({.cp = c}, c - 1).work;
    const int64_t elements = (c - 1) * 2 * kRows * (kSequence / c) * 64;
    for (const size_t layer : {1, 2}) {
      EXPECT_EQ(Wire(work[layer].forward).context, elements * size_of(type()));
      EXPECT_EQ(Wire(work[layer].backward_input).context, elements * (size_of(type()) + 4));
      EXPECT_EQ(Wire(work[layer].backward_weight).context, 0);
    }
    EXPECT_EQ(Wire(work[0].forward).context, 0);
    EXPECT_EQ(Wire(work[3].forward).context, 0);
  }
}

// Both at once: the ring carries the heads of a tensor rank, the boundaries the tokens of a context rank.
TEST_P(ByteCount, TensorAndContext) {
  constexpr int kTensor = 4, kContext = 2;
  for (const int rank : {0, 5}) {
    const auto work = plan({.tp = kTensor, .sequence = true, .cp = kContext}, rank).work;
    const int64_t gather = hidden_bytes(kContext) * (kTensor - 1) / kTensor;
    const int64_t elements = (kContext - 1) * 2 * kRows * (kSequence / kContext) * 64 / kTensor;
    EXPECT_EQ(Wire(work[1].forward).tensor, 4 * gather);
    EXPECT_EQ(Wire(work[1].backward_input).tensor, 4 * gather);
    EXPECT_EQ(Wire(work[1].backward_weight).tensor, 2 * gather);
    EXPECT_EQ(Wire(work[1].forward).context, elements * size_of(type()));
    EXPECT_EQ(Wire(work[1].backward_input).context, elements * (size_of(type()) + 4));
  }
}

// Products and attention are dealt without remainder; what all ranks do is what one did.
TEST_P(ByteCount, WorkIsDealt) {
  const auto whole = plan({}).work;
  for (const TestLayout& layout : {TestLayout{.tp = 4}, TestLayout{.tp = 4, .sequence = true}}) {
    const auto part = plan(layout).work;
    for (const size_t block : {1, 2}) {
      EXPECT_EQ(part[block].forward.matmul_flops * 4, whole[block].forward.matmul_flops);
      EXPECT_EQ(part[block].backward_input.matmul_flops * 4, whole[block].backward_input.matmul_flops);
      EXPECT_EQ(part[block].backward_weight.matmul_flops * 4, whole[block].backward_weight.matmul_flops);
      EXPECT_EQ(part[block].forward.attention_flops * 4, whole[block].forward.attention_flops);
      EXPECT_EQ(part[block].backward_input.attention_flops * 4, whole[block].backward_input.attention_flops);
    }
  }
  int64_t forward = 0, backward = 0;
  for (int rank = 0; rank < 4; ++rank) {
    const auto part = plan({.cp = 4}, rank).work;
    EXPECT_EQ(part[1].forward.matmul_flops * 4, whole[1].forward.matmul_flops);
    forward += part[1].forward.attention_flops;
    backward += part[1].backward_input.attention_flops;
  }
  EXPECT_EQ(forward, whole[1].forward.attention_flops);
  EXPECT_EQ(backward, whole[1].backward_input.attention_flops);
}

// With sequence parallelism everything a layer keeps is a t-th.
TEST_P(ByteCount, SequenceParallelismCutsWhatIsSaved) {
  const BlockSizes whole = plan({}).sizes[1];
  const BlockSizes part = plan({.tp = 4, .sequence = true}).sizes[1];
  EXPECT_EQ(part.output * 4, whole.output);
  EXPECT_EQ(part.saved_input * 4, whole.saved_input);
  EXPECT_EQ(part.saved_weight * 4, whole.saved_weight);
  const BlockSizes tensor = plan({.tp = 4}).sizes[1];
  EXPECT_EQ(tensor.output, whole.output);
  EXPECT_GT(tensor.saved_weight * 4, whole.saved_weight);
}

INSTANTIATE_TEST_SUITE_P(Models, ByteCount,
                         testing::Combine(testing::Values("llama", "gpt2"),
                                          testing::Values(DType::f32, DType::bf16)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) == DType::f32 ? "_f32" : "_bf16");
                         });

}  // namespace
}  // namespace strata
