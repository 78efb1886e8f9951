// SPDX-License-Identifier: Apache-2.0
// Whole models against PyTorch: logits, loss, every gradient, three AdamW steps, for both architectures and
// the variants of the llama family; rows together or one by one, with and without recomputation.
#include <gtest/gtest.h>

#include <cmath>

#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/step/step_runner.h"
#include "core/step/text_model.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"
#include "optim/parameter_group.h"
#include "tests/models/golden_model.h"

namespace strata {
namespace {

struct GoldenCase {
  const char* model;
  int64_t rows;  // of a micro-batch; the golden batch has two
  bool recompute;
};

void PrintTo(const GoldenCase& c, std::ostream* out) {
  *out << c.model << ", " << c.rows << (c.rows == 1 ? " row" : " rows")
       << (c.recompute ? ", recomputed" : "");
}

// Distance relative to the size of the whole tensor: single elements may be near zero by cancellation.
// `floor` is the least size taken: the gradient of a key bias, say, is nothing but rounding (softmax does not
// see it).
double relative(std::span<const float> ours, std::span<const float> golden, double floor = 1e-15) {
  double distance = 0, size = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    distance += std::pow(static_cast<double>(ours[i]) - golden[i], 2);
    size += std::pow(static_cast<double>(golden[i]), 2);
  }
  return std::sqrt(distance) / std::max(std::sqrt(size), floor);
}

class Golden : public testing::TestWithParam<GoldenCase> {
 protected:
  Golden()
      : golden_(GetParam().model),
        model_(make_model(golden_.spec(), DType::f32)),
        pool_(2),
        stream_(pool_),
        allocator_(make_cpu_allocator()) {
    const auto& h = golden_.json.at("hyper");
    rule_ = make_update_rule("adamw", "fp32", DType::f32,
                             {.beta1 = h.at("beta1"), .beta2 = h.at("beta2"), .eps = h.at("eps")});
    plan_ = std::make_unique<StepPlan>(
        model_, StepPlanOptions{.geometry = {.rows = GetParam().rows,
                                             .seq_len = golden_.json.at("seq_len"),
                                             .micro_batches = static_cast<int>(2 / GetParam().rows)},
                                .rule = rule_.get(),
                                .recompute = GetParam().recompute});
    runner_ = std::make_unique<StepRunner>(*plan_, StepStreams{stream_}, *allocator_,
                                           [this](StepScalars& s) { clip(s); });
    for (const LogicalState& state : runner_->logical_states()) {
      const std::vector<float>& values = golden_.tensors.at("weight:" + state.name);
      std::copy(values.begin(), values.end(), state.weight.data<float>());
    }
    runner_->weights_changed();
  }

  void clip(StepScalars& sums) {
    const Clip clip = clip_by_norm(sums.squares, golden_.json.at("hyper").at("clip").get<double>());
    sums.grad_norm = clip.norm;
    sums.coefficient = clip.gradient_scale;
    if (gradients_.empty())
      for (const LogicalState& state : runner_->logical_states()) {
        const auto span = state.gradient.span<const float>();
        gradients_[state.name].assign(span.begin(), span.end());
      }
  }

  std::vector<Batch> batches() const {
    std::vector<Batch> batches;
    for (int64_t row = 0; row < 2; row += GetParam().rows)
      batches.push_back(golden_.batch(row, GetParam().rows));
    return batches;
  }

  GoldenModel golden_;
  Model model_;
  WorkerPool pool_;
  CpuStream stream_;
  std::shared_ptr<Allocator> allocator_;
  std::unique_ptr<UpdateRule> rule_;
  std::unique_ptr<StepPlan> plan_;
  std::unique_ptr<StepRunner> runner_;
  std::map<std::string, std::vector<float>> gradients_;
};

// f32 has 24 bits: an operation errs by 6e-8, and these models chain a few hundred sums of a few dozen terms
// each; the goldens are double precision. 2e-6 is met with room, and a wrong epsilon, scale or mask misses it
// by orders.
constexpr double kTolerance = 2e-6;

TEST_P(Golden, LossGradientsAndThreeSteps) {
  const std::vector<Batch> step = batches();
  const auto& h = golden_.json.at("hyper");
  for (int64_t i = 1; i <= 3; ++i) {
    const StepScalars sums = runner_->train_step(step, [&](const Parameter& parameter) {
      return UpdateScalars{.learning_rate = h.at("lr"),
                           .weight_decay = weight_decay_of(parameter, h.at("weight_decay")),
                           .step = i};
    });
    const double loss = golden_.json.at("losses")[static_cast<size_t>(i - 1)];
    const double norm = golden_.json.at("norms")[static_cast<size_t>(i - 1)];
    EXPECT_NEAR(sums.loss.mean(), loss, loss * kTolerance) << "step " << i;
    EXPECT_NEAR(sums.grad_norm, norm, norm * kTolerance) << "step " << i;
  }
  const double norm = golden_.json.at("norms")[0];
  size_t compared = 0;
  for (const LogicalState& state : runner_->logical_states()) {
    EXPECT_LT(relative(gradients_.at(state.name), golden_.tensors.at("grad:" + state.name), norm / 100),
              kTolerance)
        << state.name;
    EXPECT_LT(relative(state.weight.span<const float>(), golden_.tensors.at("after:" + state.name)),
              kTolerance)
        << state.name;
    ++compared;
  }
  EXPECT_EQ(compared * 3 + 1, golden_.tensors.size());  // nothing of the golden file was left out
}

TEST_P(Golden, EvaluationGivesTheSameLoss) {
  LossSum sum;
  for (const Batch& batch : batches()) {
    sum.add(runner_->evaluate(batch));
  }
  const double loss = golden_.json.at("losses")[0];
  EXPECT_NEAR(sum.mean(), loss, loss * kTolerance);
}

// Row 1 is one document: its tokens fed in pieces, with keys and values kept, give the logits of the whole.
TEST_P(Golden, LogitsTokenByToken) {
  TextModel text(model_, *runner_, stream_, *allocator_);
  const Batch row = golden_.batch(1, 1);
  const auto vocab = static_cast<size_t>(golden_.spec().vocab);
  const std::vector<float>& golden = golden_.tensors.at("logits");
  size_t fed = 0;
  for (const size_t count : {3, 1, 1, 4, 2}) {
    const auto logits = text.feed({row.tokens.data() + fed, count});
    fed += count;
    const std::span expected(golden.data() + (static_cast<size_t>(row.seq_len) + fed - 1) * vocab, vocab);
    EXPECT_LT(relative(logits, expected), kTolerance) << "after " << fed << " tokens";
  }
  ASSERT_EQ(fed, static_cast<size_t>(row.seq_len));
}

// Three sequences in one model, each fed at its own pace, are the same as each alone - to the bit.
TEST_P(Golden, SequencesBesideEachOther) {
  const auto vocab = static_cast<size_t>(golden_.spec().vocab);
  const Batch row = golden_.batch(1, 1);
  std::vector<std::vector<int32_t>> ids(3, row.tokens);
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    ids[1][i] = static_cast<int32_t>((row.tokens[i] * 5 + 3) % static_cast<int32_t>(vocab));
    ids[2][i] = row.tokens[row.tokens.size() - 1 - i];
  }
  TextModel beside(model_, *runner_, stream_, *allocator_, {.sequences = 3, .max_length = row.seq_len});
  std::vector<std::unique_ptr<TextModel>> alone;
  for (int s = 0; s < 3; ++s)
    alone.push_back(std::make_unique<TextModel>(model_, *runner_, stream_, *allocator_));
  const auto feed = [&](const std::vector<std::pair<int, size_t>>& counts) {
    std::vector<TextModel::Append> appends;
    for (const auto& [sequence, count] : counts)
      appends.push_back(
          {sequence, {ids[static_cast<size_t>(sequence)].data() + beside.length(sequence), count}});
    const auto logits = beside.feed(appends);
    ASSERT_EQ(logits.size(), appends.size() * vocab);
    for (size_t i = 0; i < appends.size(); ++i) {
      const auto expected = alone[static_cast<size_t>(appends[i].sequence)]->feed(appends[i].ids);
      EXPECT_TRUE(std::ranges::equal(logits.subspan(i * vocab, vocab), expected)) << "append " << i;
    }
  };
  feed({{0, 3}, {1, 2}, {2, 5}});
  feed({{0, 1}, {1, 1}, {2, 1}});
  feed({{2, 1}, {0, 1}});
  feed({{1, 4}});
  beside.reset(1);
  alone[1]->reset();
  feed({{1, 3}, {0, 1}});
  EXPECT_EQ(beside.length(0), 6);
  EXPECT_EQ(beside.length(1), 3);
  EXPECT_THROW(beside.feed(std::vector<TextModel::Append>{{0, row.tokens}}), ContractError);
  const std::span one(row.tokens.data(), 1);
  EXPECT_THROW(beside.feed(std::vector<TextModel::Append>{{0, one}, {0, one}}), ContractError);
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values(GoldenCase{"llama", 2, false}, GoldenCase{"llama", 1, true},
                                         GoldenCase{"qwen2", 2, false}, GoldenCase{"qwen2", 1, false},
                                         GoldenCase{"qwen3", 2, true}, GoldenCase{"qwen3", 1, false},
                                         GoldenCase{"gpt2", 2, false}, GoldenCase{"gpt2", 1, false},
                                         GoldenCase{"gpt2", 1, true}),
                         [](const auto& info) {
                           return std::string(info.param.model) + "_" + std::to_string(info.param.rows) +
                                  (info.param.recompute ? "_recomputed" : "");
                         });

}  // namespace
}  // namespace strata
