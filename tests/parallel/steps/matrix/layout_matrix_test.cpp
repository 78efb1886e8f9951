// SPDX-License-Identifier: Apache-2.0
// The long matrix: layouts of up to 16 ranks of a llama, a llama with a tied table and a gpt2, twenty steps
// each, against one rank; layouts that a model does not have are refused. With STRATA_LAYOUT_TABLE=FILE the
// distances are written there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "parallel/layout.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

// Eight layers and heads; the first has four heads of keys and values.
StepRun run_of(const std::string& name) {
  ModelSpec spec = name == "gpt2" ? small_gpt2() : small_llama(name == "llama, tied");
  spec.layers = 8;
  spec.hidden = 64;
  spec.heads = 8;
  spec.kv_heads = name == "llama" ? 4 : 8;
  spec.ffn = 96;
  // At 1e-2 the bounds held too, but the loss of step 20 of an untied llama came to two thirds of its bound.
  return {.spec = spec, .samples = 16, .steps = 20, .learning_rate = 3e-3f, .evaluate = true};
}

std::vector<StepLayout> layouts() {
  std::vector<StepLayout> all;
  const auto add = [&](StepLayout layout) { all.push_back(std::move(layout)); };
  // Data ranks and partitions: replicated, ZeRO-1, 2, 3, MiCS, hybrid, general, with and without replicas.
  for (const int dp : {2, 4, 8, 16}) add({.mesh = {.dp = dp}});
  for (const int dp : {4, 16}) add({.mesh = {.dp = dp}, .partition = {1, 1, dp}});
  for (const int dp : {2, 8}) add({.mesh = {.dp = dp}, .partition = {1, dp, dp}});
  for (const int dp : {4, 16}) add({.mesh = {.dp = dp}, .partition = {dp, dp, dp}});
  add({.mesh = {.dp = 8}, .partition = {2, 2, 2}});
  add({.mesh = {.dp = 16}, .partition = {4, 4, 4}, .recompute = true});
  add({.mesh = {.dp = 8}, .partition = {2, 2, 8}, .gather_ahead = 2});
  add({.mesh = {.dp = 16}, .partition = {2, 4, 8}});
  add({.mesh = {.dp = 16}, .partition = {2, 8, 16}, .gather_ahead = 0});
  add({.mesh = {.dp = 8}, .partition = {1, 2, 4}, .recompute = true});
  // Pipelines.
  for (const int pp : {2, 4, 8})
    for (const char* schedule : {"gpipe", "1f1b", "zb-h1", "zb-h2"})
      add({.mesh = {.pp = pp}, .schedule = schedule});
  for (const auto& [pp, v] : {std::pair{2, 2}, {4, 2}, {2, 4}})
    add({.mesh = {.pp = pp}, .schedule = "interleaved", .virtual_stages = v});
  // Tensor, sequence and context.
  for (const int tp : {2, 4, 8})
    for (const bool sequence : {false, true}) add({.mesh = {.tp = tp}, .sequence = sequence});
  for (const int cp : {2, 4}) add({.mesh = {.cp = cp}});
  add({.mesh = {.cp = 8}, .partition = {1, 8, 8}});
  // Products.
  add({.mesh = {.pp = 2, .dp = 2, .tp = 2}});
  add({.mesh = {.pp = 2, .dp = 2, .tp = 2}, .sequence = true, .schedule = "zb-h1", .partition = {2, 2, 2}});
  add({.mesh = {.pp = 2, .dp = 2, .cp = 2, .tp = 2}, .sequence = true, .partition = {2, 4, 4}});
  add({.mesh = {.pp = 4, .dp = 4}, .schedule = "zb-h2", .partition = {1, 1, 4}});
  add({.mesh = {.pp = 2, .dp = 8}, .partition = {2, 4, 8}, .recompute = true});
  add({.mesh = {.pp = 8, .dp = 2}, .schedule = "gpipe", .partition = {1, 2, 2}});
  add({.mesh = {.pp = 4, .tp = 4}, .sequence = true, .recompute = true});
  add({.mesh = {.dp = 4, .tp = 4}, .sequence = true, .partition = {4, 4, 4}});
  add({.mesh = {.dp = 4, .cp = 4}, .partition = {2, 4, 16}});
  add({.mesh = {.dp = 2, .cp = 2, .tp = 4}, .partition = {1, 1, 4}});
  add({.mesh = {.pp = 2, .dp = 2, .tp = 4},
       .sequence = true,
       .schedule = "interleaved",
       .virtual_stages = 2});
  add({.mesh = {.pp = 2, .dp = 2, .cp = 4}, .schedule = "zb-h1", .partition = {1, 8, 8}});
  // In ordered mode, beside the bounds the same bits.
  add({.mesh = {.dp = 16}, .partition = {4, 8, 16}, .tree = true});
  add({.mesh = {.dp = 8}, .partition = {2, 2, 4}, .tree = true, .recompute = true});
  add({.mesh = {.pp = 4, .dp = 4}, .schedule = "1f1b", .partition = {4, 4, 4}, .tree = true});
  add({.mesh = {.pp = 4, .dp = 2}, .schedule = "interleaved", .virtual_stages = 2, .tree = true});
  add({.mesh = {.pp = 8, .dp = 2}, .schedule = "zb-h2", .partition = {1, 2, 2}, .tree = true});
  return all;
}

// What the layout's rules say of it.
std::optional<Report> fault_of(const StepRun& run, const StepLayout& layout) {
  const ModelSpec& spec = run.spec;
  const auto size = [](int64_t n) { return narrow<int>(n); };
  return layout_fault({.ranks = layout.ranks(),
                       .sizes = layout.mesh,
                       .virtual_stages = layout.virtual_stages,
                       .sequence_parallel = layout.sequence,
                       .schedule = layout.schedule},
                      {.layers = size(spec.layers),
                       .heads = size(spec.heads),
                       .kv_heads = size(spec.kv_heads),
                       .ffn = size(spec.ffn),
                       .vocab = 128},
                      {.tokens_per_step = run.samples * run.rows * run.seq_len,
                       .micro_batch = run.rows,
                       .seq_len = run.seq_len});
}

struct LayoutRow {
  std::string layout;
  int ranks;
  std::vector<std::string> models;
};

void write_table(const std::string& file, const std::vector<std::string>& models,
                 const std::vector<LayoutRow>& rows) {
  std::ofstream out(file);
  out << "# Layouts against one rank\n\n"
         "Relative distance from one rank, threads of one process, f32, AdamW (lr 3e-3, eps 1e-4), 16 "
         "samples of 16 "
         "tokens a "
         "step: loss of the first step, worst tensor of the first gradient, worst tensor of the parameters' "
         "change "
         "over 3 steps, loss of step 5, loss of step 20. Bounds: 1e-6, 1e-5, 1e-4, 1e-5, and 1e-5 (1e-3 with "
         "tp or "
         "cp). \"bits\": ordered mode, the same bits as one rank's.\n\n"
         "    STRATA_LAYOUT_TABLE=FILE build/release/tests/parallel/steps/matrix/step_matrix_tests\n\n";
  out << "| ranks | layout |";
  for (const std::string& model : models) out << ' ' << model << " |";
  out << "\n| --- | --- |";
  for (size_t i = 0; i < models.size(); ++i) out << " --- |";
  out << '\n';
  for (const LayoutRow& row : rows) {
    out << "| " << row.ranks << " | " << row.layout << " |";
    for (const std::string& cell : row.models) out << ' ' << cell << " |";
    out << '\n';
  }
}

TEST(LayoutMatrix, TwentyStepsAsOneRank) {
  const std::vector<std::string> models = {"llama", "llama, tied", "gpt2"};
  std::vector<LayoutRow> rows;
  for (const StepLayout& layout : layouts()) rows.push_back({to_string(layout), layout.ranks(), {}});
  for (const std::string& model : models) {
    const StepRun run = run_of(model);
    const StepOutcome one = run_steps(run, {}), one_tree = run_steps(run, {.tree = true});
    int ran = 0, refused = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      const StepLayout layout = layouts()[i];
      SCOPED_TRACE(model + ", " + to_string(layout));
      if (const auto fault = fault_of(run, layout)) {
        EXPECT_GT(layout.mesh.tp, run.spec.kv_heads) << fault->what << fault->found;
        EXPECT_THAT(fault->found, testing::HasSubstr("kv_heads 4"));
        rows[i].models.push_back("refused: 4 heads of keys");
        ++refused;
        continue;
      }
      const StepOutcome many = run_steps(run, layout);
      const Distances far = distances(many, one);
      EXPECT_EQ(broken_bounds(far, rounds_apart(layout)), "");
      std::string cell = fmt::format("{:.0e} {:.0e} {:.0e} {:.0e} {:.0e}", far.loss, far.gradients,
                                     far.change, far.fifth_loss, far.twentieth_loss);
      if (layout.tree) {
        const std::string bits = different_bits(many, one_tree);
        EXPECT_EQ(bits, "");
        if (bits.empty()) cell += " bits";
      }
      rows[i].models.push_back(cell);
      ++ran;
    }
    std::cout << model << ": " << ran << " layouts, " << refused << " refused\n";
    EXPECT_GE(ran, 40);
    EXPECT_EQ(refused > 0, model == "llama");
  }
  if (const char* const file = std::getenv("STRATA_LAYOUT_TABLE")) write_table(file, models, rows);
}

}  // namespace
}  // namespace strata
