// SPDX-License-Identifier: Apache-2.0
// Norms, activations and the rotary embedding of whole models tell products by tensors the largest magnitude
// of what they multiply: it is the true one, and a step without it has the same bits.
#include <gtest/gtest.h>

#include <cmath>

#include "core/device/cpu/cpu_stream.h"
#include "core/models/architectures.h"
#include "core/step/step_runner.h"
#include "core/tensor/bf16.h"
#include "optim/clip.h"
#include "optim/optimizer_table.h"
#include "optim/parameter_group.h"
#include "precision/quantized_linear_op.h"
#include "precision/recipe.h"

namespace strata {
namespace {

// Looks at every operand of a product of values that comes by; `asks`: whether it wants to be told.
class WatchedLinearOp final : public QuantizedLinearOp {
 public:
  explicit WatchedLinearOp(bool asks) : asks_(asks) {}

  bool wants_amax(const LinearRecipe& recipe, LinearSide side) const override {
    return asks_ && QuantizedLinearOp::wants_amax(recipe, side);
  }
  void forward(Stream& stream, const LinearOperand& x, const LinearWeight& weight, const Tensor& bias,
               const Tensor& add, const Tensor& y) const override {
    look(stream, x);
    QuantizedLinearOp::forward(stream, x, weight, bias, add, y);
  }
  void backward_input(Stream& stream, const LinearOperand& dy, const LinearWeight& weight,
                      const Tensor& dx) const override {
    look(stream, dy);
    QuantizedLinearOp::backward_input(stream, dy, weight, dx);
  }
  int told() const { return told_; }

 private:
  void look(Stream& stream, const LinearOperand& operand) const {
    if (!operand.amax || stream.device().kind == DeviceKind::meta) return;
    ++told_;
    float most = 0;
    for (int64_t r = 0; r < operand.values.dim(0); ++r)
      for (int64_t c = 0; c < operand.values.dim(1); ++c)
        most = std::max(most,
                        std::fabs(to_float(operand.values.data<bf16>()[r * operand.values.stride(0) + c])));
    EXPECT_EQ(*operand.amax.data<float>(), most);
  }

  bool asks_;
  mutable int told_ = 0;
};

struct Outcome {
  double loss = 0, norm = 0;
  std::vector<uint16_t> weights;
  int told = 0;
};

Outcome step_of(const ModelSpec& spec, const char* recipe, bool recompute, bool asks) {
  Model model = make_model(spec, DType::bf16);
  apply_recipe({.name = recipe}, model);
  const WatchedLinearOp linear(asks);
  WorkerPool pool(1);
  CpuStream stream(pool);
  const auto allocator = make_cpu_allocator();
  const auto rule = make_update_rule("adamw", "fp32", DType::bf16, {});
  const StepPlan plan(model, StepPlanOptions{.geometry = {.rows = 2, .seq_len = 8, .micro_batches = 1},
                                             .rule = rule.get(),
                                             .recompute = recompute,
                                             .linear = &linear});
  StepRunner runner(plan, StepStreams{stream}, *allocator, [](StepScalars& sums) {
    const Clip clip = clip_by_norm(sums.squares, 1.0);
    sums.grad_norm = clip.norm;
    sums.coefficient = clip.gradient_scale;
  });
  runner.initialize(5);
  Batch batch{.rows = 2, .seq_len = 8};
  for (int32_t t = 0; t < 16; ++t) {
    batch.tokens.push_back(t * 7 % 40);
    batch.targets.push_back(t * 11 % 40);
    batch.positions.push_back(t % 8);
  }
  batch.segment_begin = {0, 8, 16};
  batch.num_targets = 16;
  const std::vector<Batch> batches{batch};
  const StepScalars sums = runner.train_step(
      batches, [](const Parameter&) { return UpdateScalars{.learning_rate = 1e-2, .step = 1}; });
  Outcome out{.loss = sums.loss.mean(), .norm = sums.grad_norm, .weights = {}, .told = linear.told()};
  for (const LogicalState& state : runner.logical_states()) {
    for (const bf16 value : state.weight.span<bf16>()) out.weights.push_back(value.bits);
  }
  return out;
}

TEST(AmaxOfOperands, IsTrueAndChangesNoBit) {
  struct Case {
    const char *arch, *recipe;
    bool qk_norm;
    int told;  // operands of a layer: by norms, by the activation forward and backward, by the turn
  };
  for (const Case& c : {Case{"llama", "tensor-current", false, 5}, Case{"llama", "tensor-hybrid", true, 4},
                        Case{"gpt2", "tensor-current", false, 4}, Case{"llama", "block", false, 0}})
    for (const bool recompute : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {} q/k norm {} recompute {}", c.arch, c.recipe, c.qk_norm, recompute));
      const bool llama = std::string(c.arch) == "llama";
      const ModelSpec spec{.arch = c.arch,
                           .layers = 2,
                           .hidden = 64,
                           .heads = 4,
                           .kv_heads = llama ? 2 : 4,
                           .head_dim = 16,
                           .ffn = 96,
                           .vocab = 40,
                           .max_positions = 16,
                           .qk_norm = c.qk_norm};
      const Outcome told = step_of(spec, c.recipe, recompute, true);
      const Outcome silent = step_of(spec, c.recipe, recompute, false);
      // Forward once more where it is recomputed: norms and the activation, not the two of the backward.
      const int forward = c.told == 0 ? 0 : 3;
      EXPECT_EQ(told.told, 2 * (c.told + (recompute ? forward : 0)));
      EXPECT_EQ(silent.told, 0);
      EXPECT_EQ(told.loss, silent.loss);
      EXPECT_EQ(told.norm, silent.norm);
      EXPECT_TRUE(told.weights == silent.weights);
    }
}

}  // namespace
}  // namespace strata
