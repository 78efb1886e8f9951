// SPDX-License-Identifier: Apache-2.0
// Faults planted in one rank of a layout are named: step, action, tensor, rank, element.
#include <cmath>

#include "parallel/comm/decorator.h"
#include "tests/launch/bisect/bisect_run.h"

namespace strata {
namespace {

using testing::HasSubstr;
using Kind = Difference::Kind;

// Adds `by` to one element of what an action of one rank made.
Interference spoil(int rank, int64_t step, std::string action, ValueClass cls, int value_block,
                   int64_t element, float by) {
  Interference fault;
  fault.after_action = [=](int at, int64_t in, const Invocation& invocation) {
    if (at != rank || in != step || !to_string(invocation.action()).starts_with(action)) return;
    reinterpret_cast<float*>(invocation.bytes_of(cls, value_block).data)[element] += by;
  };
  return fault;
}

// What the element-wise look says of ranks and action goes before what the summaries say.
void expect_named(const Bisection& result, Kind kind, const RecordKey& key, const std::vector<int>& ranks,
                  const std::string& action) {
  const std::string text = to_text(result);
  ASSERT_TRUE(result.comparison.first) << text;
  const Difference& first = *result.comparison.first;
  EXPECT_EQ(first.kind, kind) << text;
  EXPECT_EQ(first.key, key) << text;
  EXPECT_EQ(first.side, Side::b) << text;
  EXPECT_TRUE(!result.close || result.close->repeats) << text;
  const bool looked = result.close && !result.close->ranks.empty();
  EXPECT_EQ(looked ? result.close->ranks : first.ranks, ranks) << text;
  EXPECT_EQ(looked ? result.close->action : first.action, action) << text;
}

// The output of layer 2 (block 3) in the second step, of micro-batch 1, on pipeline rank 1.
TEST_F(BisectRun, ForwardOfOneRank) {
  const Interference fault = spoil(1, 2, "forward 3 mb=1", ValueClass::x, 4, 5 * 32 + 7, 0.5f);
  const Bisection result = bisect(side(), side({"parallel.pp=2"}, fault), {.steps = 2});
  expect_named(result, Kind::values, {2, Quantity::output, 3, 1, ""}, {1}, "forward 3 mb=1 save");
  ASSERT_TRUE(result.close);
  EXPECT_EQ(result.close->index, 5U * 32 + 7);
  EXPECT_NEAR(result.close->b - result.close->a, 0.5, 1e-4);
  EXPECT_NEAR(result.close->distance, 0.5, 1e-3);
  EXPECT_NEAR(result.comparison.first->distance, 0.5, 1e-3);
  EXPECT_EQ(result.comparison.first->of, 7);  // the sequences behind it
  EXPECT_EQ(result.comparison.first->differ, 1);
  const std::string text = to_text(result);
  EXPECT_THAT(text,
              HasSubstr("first difference: step 2, forward of layer 2 (block 3), sequence 1: its output x"));
  EXPECT_THAT(text, HasSubstr("row 5, column 7"));
  EXPECT_THAT(text, HasSubstr("rank 1 (pp 1) of B"));
  EXPECT_THAT(text, HasSubstr("made by forward of layer 1 (block 2)"));
}

// Ranks of a tensor axis hold copies of x: the one that is off is named without a look at single elements.
TEST_F(BisectRun, ForwardOfOneTensorRank) {
  const Interference fault = spoil(3, 1, "forward 2 mb=2", ValueClass::x, 3, 9, 1e-3f);
  const Bisection result = bisect(side(), side({"parallel.tp=2", "parallel.dp=2"}, fault));
  ASSERT_TRUE(result.comparison.first);
  expect_named(result, Kind::copies, {1, Quantity::output, 2, result.comparison.first->key.sequence, ""}, {3},
               "forward 2 mb=2 save");
  EXPECT_TRUE(result.comparison.first->certain);
  EXPECT_EQ(result.comparison.first->ranks, std::vector{3});
}

// With sequence parallelism a rank has rows of its own: row 2 of tensor rank 1 is token 10 of 16.
TEST_F(BisectRun, RowsOfASequenceShard) {
  const Interference fault = spoil(1, 1, "forward 4 mb=6", ValueClass::x, 5, 2 * 32 + 3, 0.01f);
  const Bisection result = bisect(side(), side({"parallel.tp=2", "parallel.sequence_parallel=true"}, fault));
  expect_named(result, Kind::values, {1, Quantity::output, 4, 6, ""}, {1}, "forward 4 mb=6 save");
  EXPECT_EQ(result.close->index, 10U * 32 + 3);
}

// The second rank of a context axis has the chunks 1 and 2 of 4: its row 5 is token 9 of 16.
TEST_F(BisectRun, RowsOfAContextShard) {
  const Interference fault = spoil(1, 1, "backward_input 2 mb=3", ValueClass::dx, 2, 5 * 32 + 1, 0.01f);
  const Bisection result = bisect(side(), side({"parallel.cp=2"}, fault));
  expect_named(result, Kind::values, {1, Quantity::input_gradient, 2, 3, ""}, {1}, "backward_input 2 mb=3");
  EXPECT_EQ(result.close->index, 9U * 32 + 1);
}

// Spoils one element of what one operation of a communicator brings.
class Spoiling final : public CommunicatorDecorator {
 public:
  Spoiling(std::unique_ptr<Communicator> inner, CollectiveKind kind, int operation)
      : CommunicatorDecorator(std::move(inner)), kind_(kind), operation_(operation) {}

  void run(Stream& stream, const Collective& op, std::byte* scratch) override {
    const bool messages = op.kind == CollectiveKind::exchange;
    const Tensor to = !messages ? op.to : op.receives.empty() ? Tensor() : op.receives[0].tensor;
    inner().run(stream, op, scratch);
    if (to && op.kind == kind_ && operation_-- == 0)
      on_stream(stream, [to] { to.view({to.numel()}).span<float>()[11] += 0.25f; });
  }

 private:
  CollectiveKind kind_;
  int operation_;  // of that kind, that bring something, until the one that is spoilt
};

Interference spoil_messages(int rank, std::string purpose, CollectiveKind kind, int operation) {
  Interference fault;
  fault.world = [=](std::unique_ptr<World> world) {
    return decorate(std::move(world), [=](World& inner, std::unique_ptr<Communicator> comm) {
      if (inner.rank() == rank && comm->spec().purpose == purpose)
        return std::unique_ptr<Communicator>(std::make_unique<Spoiling>(std::move(comm), kind, operation));
      return comm;
    });
  };
  return fault;
}

// What forward of block 2 made agrees; what the next stage got of it does not.
TEST_F(BisectRun, MessageBetweenStages) {
  const Bisection result =
      bisect(side(), side({"parallel.pp=2"}, spoil_messages(1, "pipeline", CollectiveKind::exchange, 2)));
  expect_named(result, Kind::values, {1, Quantity::received_input, 3, 2, ""}, {1}, "receive x 3 mb=2 peer=0");
  EXPECT_EQ(result.close->index, 11U);
  EXPECT_THAT(to_text(result), HasSubstr("receive, sequence 2: the input x of layer 2 (block 3)"));
}

// And backwards, to the first stage.
TEST_F(BisectRun, GradientBetweenStages) {
  const Bisection result =
      bisect(side(), side({"parallel.pp=2"}, spoil_messages(0, "pipeline", CollectiveKind::exchange, 3)));
  expect_named(result, Kind::values, {1, Quantity::received_gradient, 2, 3, ""}, {0},
               "receive dx 3 mb=3 peer=1");
}

// Inside a block: of the sums behind embedding, attention and feed-forward, the seventh is layer 2's last.
TEST_F(BisectRun, ReductionInsideABlock) {
  const Bisection result =
      bisect(side(), side({"parallel.tp=2"}, spoil_messages(1, "tensor", CollectiveKind::all_reduce, 6)));
  expect_named(result, Kind::copies, {1, Quantity::output, 3, 0, ""}, {1}, "forward 3 mb=0 save");
}

// The first scattered sum of gradients, of the head's final norm: every x and dx agrees. On rank 0 it spoils
// a gradient; on rank 1, whose shard of it is padding, nothing but the norm.
TEST_F(BisectRun, ReductionOfGradients) {
  const Overrides layout{"parallel.dp=2", "parallel.partition=zero2"};
  const auto spoil_shard = [&](int rank) {
    const CollectiveKind kind = CollectiveKind::reduce_scatter;
    return bisect(side(), side(layout, spoil_messages(rank, "shards 2 of 1", kind, 0)));
  };
  const Bisection real = spoil_shard(0);
  expect_named(real, Kind::values, {1, Quantity::gradient, 5, -1, "final_norm.weight"}, {0}, "");
  EXPECT_EQ(real.close->index, 11U);
  EXPECT_NEAR(real.close->distance, 0.25, 1e-3);
  expect_named(spoil_shard(1), Kind::values, {1, Quantity::gradient_norm, -1, -1, ""}, {0, 1}, "");
}

// A weight that changes between two steps, alone or in the copy of one data rank; nothing of the first step
// differs.
TEST_F(BisectRun, AChangedWeight) {
  for (const bool alone : {false, true}) {
    Interference fault;
    fault.before_step = [=](int rank, int64_t step, const StepRunner& runner) {
      if (rank != (alone ? 0 : 1) || step != 2) return;
      for (const LogicalState& state : runner.logical_states())
        if (state.name == "layers.1.attention_norm.weight") state.weight.span<float>()[3] += 1e-4f;
    };
    const Overrides layout = alone ? Overrides{} : Overrides{"parallel.dp=2", "parallel.partition=ddp"};
    const Bisection result = bisect(side(), side(layout, fault), {.steps = 2});
    expect_named(result, alone ? Kind::changed : Kind::copies,
                 {2, Quantity::weight_used, 2, -1, "layers.1.attention_norm.weight"}, {alone ? 0 : 1},
                 "forward 2 mb=0 save");
  }
}

// An update rule whose steps are a tenth longer.
class Hasty final : public UpdateRule {
 public:
  explicit Hasty(std::unique_ptr<UpdateRule> inner) : inner_(std::move(inner)) {}
  std::string name() const override { return inner_->name(); }
  DType weight_dtype() const override { return inner_->weight_dtype(); }
  std::span<const StateSlot> slots() const override { return inner_->slots(); }
  void initialize(Stream& stream, const Tensor& values, const Tensor& weight,
                  std::span<const Tensor> state) const override {
    inner_->initialize(stream, values, weight, state);
  }
  void export_values(Stream& stream, const Tensor& weight, std::span<const Tensor> state,
                     const Tensor& values) const override {
    inner_->export_values(stream, weight, state, values);
  }
  void update(Stream& stream, const UpdateSpan& span) const override {
    UpdateSpan more = span;
    more.scalars.learning_rate *= 1.1f;
    inner_->update(stream, more);
  }

 private:
  std::unique_ptr<UpdateRule> inner_;
};

// On the rank that has the second half of the state.
TEST_F(BisectRun, AnUpdateOfOneShard) {
  Interference fault;
  fault.rule = [](int rank, std::unique_ptr<UpdateRule> rule) -> std::unique_ptr<UpdateRule> {
    if (rank != 1) return rule;
    return std::make_unique<Hasty>(std::move(rule));
  };
  const Bisection result = bisect(side(), side({"parallel.dp=2", "parallel.partition=zero1"}, fault));
  expect_named(result, Kind::values, {1, Quantity::weight, 0, -1, "embedding.weight"}, {1}, "");
}

// A loss that is no number stops a run; here the step goes on, and shows where it came from.
TEST_F(BisectRun, NotANumber) {
  const Interference fault = spoil(0, 1, "forward 1 mb=4", ValueClass::x, 2, 0, NAN);
  const Bisection result = bisect(side(), side({}, fault));
  expect_named(result, Kind::values, {1, Quantity::output, 1, 4, ""}, {0}, "forward 1 mb=4 save");
  EXPECT_THAT(to_text(result), HasSubstr("1 of 512 NaN or Inf"));
}

// A step of half the sequences: the batch is what differs, not what follows from it.
TEST_F(BisectRun, OtherBatches) {
  const Bisection half = bisect(side(), side({"batch.tokens_per_step=64"}));
  expect_named(half, Kind::missing, {1, Quantity::token, -1, 4, ""}, {}, "");
}

}  // namespace
}  // namespace strata
