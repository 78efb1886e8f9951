// SPDX-License-Identifier: Apache-2.0
// Models of which only a part is trained, by pattern or as adapters: every layout trains as one rank does, in
// ordered mode to the bit, and what is frozen stays as it was and owns nothing but its weight.
#include <gtest/gtest.h>

#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

// Each way to meet once.
std::vector<StepLayout> few_layouts() {
  return {
      {.mesh = {.dp = 4}, .partition = {4, 4, 4}, .gather_ahead = 2},
      {.mesh = {.dp = 8}, .partition = {2, 2, 4}, .recompute = true},
      {.mesh = {.tp = 2}},
      {.mesh = {.pp = 2, .dp = 2, .tp = 2}, .sequence = true, .schedule = "zb-h1", .partition = {2, 2, 2}},
  };
}

std::vector<StepLayout> layouts() {
  std::vector<StepLayout> all = few_layouts();
  for (const StepLayout& layout : {
           StepLayout{.mesh = {.dp = 2}, .partition = {1, 1, 2}},
           StepLayout{.mesh = {.dp = 4}, .partition = {1, 4, 4}, .recompute = true},
           StepLayout{.mesh = {.pp = 4}, .schedule = "1f1b"},
           StepLayout{.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2},
           StepLayout{.mesh = {.tp = 2}, .sequence = true, .recompute = true},
           StepLayout{.mesh = {.cp = 2}, .partition = {2, 2, 2}},
           StepLayout{.mesh = {.dp = 2, .cp = 2, .tp = 2}, .sequence = true, .partition = {4, 4, 4}},
       })
    all.push_back(layout);
  return all;
}

// Adapters in the middle of their training: a B of zeros would hide every fault of A's gradient.
void prepare_adapters(Model& model) {
  model.freeze_base();
  for (auto& block : model.blocks)
    for (Parameter& parameter : block->parameters())
      if (parameter.role == Role::adapter)
        for (LogicalTensor& piece : parameter.pieces)
          if (piece.name.ends_with(kLoraB)) piece.init = {Init::Kind::normal, 0.1f};
}

ModelSpec with_adapters(ModelSpec spec, std::vector<std::string> targets) {
  spec.lora = {.rank = 4, .scale = 1.5f, .targets = std::move(targets)};
  return spec;
}

void expect_frozen(const StepOutcome& outcome, const std::function<bool(const std::string&)>& trained) {
  for (const auto& [name, values] : outcome.parameters) {
    EXPECT_EQ(values != outcome.initial.at(name), trained(name)) << name;
    EXPECT_EQ(outcome.gradients.contains(name), trained(name)) << name;
  }
}

bool is_adapter(const std::string& name) { return name.ends_with(kLoraA) || name.ends_with(kLoraB); }

TEST(AdapterSteps, TrainAsOneRankDoes) {
  for (const ModelSpec& spec :
       {with_adapters(small_llama(true), {"*"}), with_adapters(small_gpt2(), {"*"}),
        with_adapters(small_llama(), {"attention.query", "attention.value", "mlp.down"})}) {
    const StepRun run{.spec = spec, .evaluate = true, .prepare = prepare_adapters};
    const StepOutcome one = run_steps(run, {});
    expect_frozen(one, is_adapter);
    for (const StepLayout& layout : spec.tied&& spec.arch == "llama" ? layouts() : few_layouts()) {
      const StepOutcome many = run_steps(run, layout);
      EXPECT_EQ(differences(many, one, rounds_apart(layout)), "") << to_string(layout);
      expect_frozen(many, is_adapter);
    }
  }
}

TEST(AdapterSteps, OrderedModeHasTheSameBits) {
  const StepRun run{.spec = with_adapters(small_llama(true), {"*"}),
                    .compute = DType::bf16,
                    .state = "split",
                    .steps = 4,
                    .evaluate = true,
                    .prepare = prepare_adapters};
  const StepOutcome one = run_steps(run, {.tree = true});
  for (StepLayout layout :
       {StepLayout{.mesh = {.dp = 2}}, StepLayout{.mesh = {.dp = 4}, .partition = {4, 4, 4}},
        StepLayout{.mesh = {.dp = 8}, .partition = {2, 2, 4}},
        StepLayout{.mesh = {.pp = 2, .dp = 2}, .schedule = "zb-h1", .partition = {1, 2, 2}}}) {
    layout.tree = true;
    EXPECT_EQ(different_bits(run_steps(run, layout), one), "") << to_string(layout);
  }
}

TEST(TrainedByPattern, TrainAsOneRankDoes) {
  const std::vector<std::string> patterns{"layers.2.attention.*.weight", "layers.1.mlp_norm*", "final_norm*"};
  for (const ModelSpec& spec : {small_llama(true), small_gpt2()}) {
    const StepRun run{
        .spec = spec, .evaluate = true, .prepare = [&](Model& model) { model.train_only(patterns); }};
    const StepOutcome one = run_steps(run, {});
    const auto trained = [](const std::string& name) {
      return (name.starts_with("layers.2.attention.") && name.ends_with(".weight")) ||
             name.starts_with("layers.1.mlp_norm") || name.starts_with("final_norm");
    };
    expect_frozen(one, trained);
    for (const StepLayout& layout : spec.tied&& spec.arch == "llama" ? layouts() : few_layouts()) {
      const StepOutcome many = run_steps(run, layout);
      EXPECT_EQ(differences(many, one, rounds_apart(layout)), "") << to_string(layout);
      expect_frozen(many, trained);
    }
  }
}

}  // namespace
}  // namespace strata
