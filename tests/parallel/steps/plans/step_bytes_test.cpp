// SPDX-License-Identifier: Apache-2.0
// What ranks receive in a training step, counted where it arrives: exactly the closed formulas
// (parallel/volume_formulas.h), for every form and every rank, and exactly what the plan said.
#include <gtest/gtest.h>

#include "core/models/architectures.h"
#include "core/step/scalars.h"
#include "optim/optimizer_table.h"
#include "parallel/comm/plan_world.h"
#include "parallel/volume_formulas.h"
#include "tests/parallel/steps/step_run.h"

namespace strata {
namespace {

// One rank's place, model and state as they are planned, without the others.
class Planned {
 public:
  Planned(const StepRun& run, const StepLayout& layout, int rank)
      : world_(make_plan_world(rank, layout.ranks())),
        place(*world_, place_options(run, layout), run.spec.tied),
        model(make_model(run.spec, run.compute, place.split())),
        rule_(make_update_rule("adamw", run.state, run.compute, {})),
        plan(model, {.geometry = {.rows = run.rows,
                                  .seq_len = place.local_seq_len(run.seq_len),
                                  .micro_batches = place.options().micro_batches},
                     .rule = rule_.get(),
                     .recompute = layout.recompute,
                     .rank = place.rank_options(model)}) {}

 private:
  std::unique_ptr<World> world_;

 public:
  RankPlace place;
  Model model;

 private:
  std::unique_ptr<UpdateRule> rule_;

 public:
  StepPlan plan;
};

// Elements of a block's parameters with the padding of their shards: they travel too.
double padded(const Planned& planned, int block) {
  double elements = 0;
  for (size_t i = 0; i < planned.model.parameters(block).size(); ++i)
    elements += static_cast<double>(planned.plan.layout().place(block, i).elements);
  return elements;
}

// The program's uses of a block's whole weights, one after another of one block counted as one: how often it
// is gathered when nothing is gathered ahead.
double gathers(const Planned& planned, int block) {
  double runs = 0;
  int last = -1;
  const Program& program = planned.plan.train().program;
  const int tied = program.blocks.back().tied_to;
  const auto use = [&](int b) {
    if (b == block && b != last) ++runs;
    last = b;
  };
  for (const Action& action : program.list) {
    if (action.kind == Kind::forward || action.kind == Kind::recompute ||
        action.kind == Kind::backward_input || action.kind == Kind::loss)
      use(action.block);
    if (action.kind == Kind::loss && tied >= 0) use(tied);
  }
  return runs;
}

// A sum of `count` whole numbers over `ranks`, as `place` receives it: shares need not be equal.
double sum_bytes(int64_t count, int ranks, int place) {
  const auto own = static_cast<double>(share(count, ranks, place).count);
  return (own * (ranks - 1) + static_cast<double>(count) - own) * sizeof(int64_t);
}

// By purpose of the communicator; nothing where the rank has nobody to meet.
std::map<std::string, double> expected(const StepRun& run, const StepLayout& layout, int rank) {
  const Planned planned(run, layout, rank);
  const Mesh& mesh = planned.place.mesh();
  const ModelSpec& spec = run.spec;
  const int head = planned.model.num_blocks() - 1, micro_batches = planned.place.options().micro_batches;
  const int data_ranks = layout.mesh.dp * layout.mesh.cp, tp = layout.mesh.tp;
  const double width = static_cast<double>(size_of(run.compute));
  const PartitionWires wires{.weights = {.element = width}, .gradients = {.element = 4}};
  const PartitionWays ways = layout.partition;
  const double tokens = static_cast<double>(run.rows * planned.place.local_seq_len(run.seq_len));
  const double x = tokens * static_cast<double>(spec.hidden) * width;
  const double kv = tokens * static_cast<double>(spec.kv_heads * spec.head_dim) / tp;
  std::map<std::string, double> bytes;

  for (int block = 0; block <= head; ++block) {
    if (!planned.plan.holds(block)) continue;
    const bool layer = block > 0 && block < head;
    // State. The formula gathers for the forward and again for the backward; here a block is gathered as
    // often as the schedule comes back to it.
    const double elements = padded(planned, block);
    const PartitionVolume volume = partition_volume(elements, ways, wires);
    bytes["shards"] +=
        volume.gather / 2 * gathers(planned, block) + volume.reduce * micro_batches + volume.per_step();
    bytes["replicas"] += replicated_volume(elements / ways.state, data_ranks / ways.state, wires.gradients);
    for (const Parameter& parameter : planned.model.parameters(block))
      if (parameter.gradient.kind == AxisPlacement::Kind::partial) {
        const auto i = static_cast<size_t>(&parameter - planned.model.parameters(block).data());
        bytes["tensor gradients"] +=
            all_reduce_bytes(static_cast<double>(planned.plan.layout().shard_elements(
                                 block, i, planned.plan.layout().partition().state_level())) *
                                 4,
                             tp);
      }
    // Activations inside blocks, per micro-batch.
    const TensorParallel tensor{
        .tp = tp, .sequence_parallel = layout.sequence, .full_recompute = layout.recompute};
    const PassVolume ring = ring_attention_volume(kv * width, kv * 4, layout.mesh.cp);
    if (block == 0) bytes["tensor"] += micro_batches * tensor_parallel_embedding_volume(x, tensor).total();
    if (layer) {
      bytes["tensor"] += micro_batches * tensor_parallel_layer_volume(x, tensor).total();
      bytes["context"] += micro_batches * (ring.total() + (layout.recompute ? ring.forward : 0));
    }
    if (block == head) {
      // The head makes its loss and both gradients at once: its input is gathered once.
      TensorParallel fused = tensor;
      fused.regather = false;
      bytes["tensor"] += micro_batches *
                         (tensor_parallel_head_volume(x, fused).total() + vocabulary_loss_volume(tokens, tp));
    }
  }
  // The edges of stages, and a table with two homes.
  const int stage_rank = mesh.coordinate(rank, Axis::pp);
  const double edge = layout.sequence ? x / tp : x;
  bytes["pipeline"] =
      pipeline_volume(planned.place.options().schedule.stage_rank, stage_rank, micro_batches, edge).total();
  if (planned.model.twin_table() && planned.plan.holds(0) != planned.plan.holds(head)) {
    const int block = planned.plan.holds(0) ? 0 : head;
    const size_t table = block == 0 ? 0 : planned.model.parameters(head).size() - 1;
    bytes["pipeline"] +=
        static_cast<double>(planned.plan.layout().place(block, table).elements) / ways.state * 4;
  }
  // Loss and norm of all ranks; the number of targets of all data ranks, which is outside the program.
  bytes["all"] = sum_bytes(StepScalars::kSummedWords, layout.ranks(), rank);
  bytes["data"] = sum_bytes(1, data_ranks, planned.place.data_rank());
  return bytes;
}

class StepBytes : public testing::TestWithParam<const char*> {
 protected:
  StepRun run() const {
    const std::string name = GetParam();
    StepRun run{
        .spec = name == "gpt2" ? small_gpt2() : small_llama(name == "llama_tied"), .rows = 2, .steps = 1};
    if (name == "llama_tied") {
      run.compute = DType::bf16;
      run.state = "split";
    }
    return run;
  }

  void check_layouts(const std::vector<StepLayout>& layouts) const {
    const StepRun run = this->run();
    for (const StepLayout& layout : layouts) {
      SCOPED_TRACE(to_string(layout));
      const StepOutcome outcome = run_steps(run, layout);
      for (int rank = 0; rank < layout.ranks(); ++rank) {
        SCOPED_TRACE(rank);
        const StepOutcome::Rank& counted = outcome.ranks[static_cast<size_t>(rank)];
        std::map<std::string, double> received, formula = expected(run, layout, rank);
        for (const auto& [purpose, bytes] : counted.received)
          if (bytes > 0) received[purpose] = static_cast<double>(bytes);
        std::erase_if(formula, [](const auto& entry) { return entry.second == 0; });
        EXPECT_EQ(received, formula);
        EXPECT_EQ(counted.received_by_level, counted.planned_by_level);
      }
    }
  }
};

// Sums of parallel.md 2.2: replicated, ZeRO-1, ZeRO-2 with sums that leave at once (with local sums it is
// ZeRO-1), ZeRO-3, MiCS, the hybrid (q, q, N), and the general form with and without replicas.
TEST_P(StepBytes, DataParallel) {
  std::vector<StepLayout> layouts;
  for (const PartitionWays ways :
       {PartitionWays{1, 1, 1}, {1, 1, 8}, {1, 8, 8}, {8, 8, 8}, {2, 2, 2}, {2, 2, 8}, {2, 4, 8}, {1, 2, 4}})
    layouts.push_back(
        {.mesh = {.dp = 8}, .partition = ways, .gather_ahead = 0, .topology = {.pair = 2, .node = 4}});
  layouts.push_back({.mesh = {.dp = 4}, .partition = {2, 4, 4}, .tree = true, .gather_ahead = 0});
  layouts.push_back({.mesh = {.dp = 2}, .partition = {2, 2, 2}, .recompute = true, .gather_ahead = 0});
  check_layouts(layouts);
}

TEST_P(StepBytes, TensorSequenceAndContextParallel) {
  check_layouts({{.mesh = {.tp = 2}},
                 {.mesh = {.tp = 4}, .recompute = true},
                 {.mesh = {.tp = 4}, .sequence = true, .topology = {.pair = 2, .node = 4}},
                 {.mesh = {.cp = 4}, .partition = {1, 1, 4}},
                 {.mesh = {.cp = 2}, .recompute = true},
                 {.mesh = {.dp = 2, .cp = 2, .tp = 2},
                  .sequence = true,
                  .partition = {2, 2, 4},
                  .gather_ahead = 0,
                  .topology = {.pair = 2, .node = 4}}});
}

TEST_P(StepBytes, Pipelines) {
  check_layouts(
      {{.mesh = {.pp = 4}, .schedule = "gpipe"},
       {.mesh = {.pp = 2}, .schedule = "interleaved", .virtual_stages = 2},
       {.mesh = {.pp = 4, .dp = 2}, .schedule = "zb-h1", .partition = {1, 1, 2}, .topology = {.node = 2}},
       {.mesh = {.pp = 2, .dp = 2, .tp = 2},
        .sequence = true,
        .partition = {2, 2, 2},
        .gather_ahead = 0,
        .topology = {.pair = 2, .node = 4}}});
}

// On one stage a layer is gathered for each pass and the others once, which the literature's formula is half
// of: embedding and head have one pass.
TEST_P(StepBytes, Zero3InTheFormOfTheLiterature) {
  const StepRun run = this->run();
  const StepLayout layout{.mesh = {.dp = 4}, .partition = {4, 4, 4}, .gather_ahead = 0};
  const int head = static_cast<int>(run.spec.layers) + 1, micro_batches = run.samples / 4;
  const StepOutcome outcome = run_steps(run, layout);
  const Planned planned(run, layout, 0);
  const PartitionWires wires{.weights = {.element = static_cast<double>(size_of(run.compute))},
                             .gradients = {.element = 4}};
  double layers = 0;
  for (int block = 1; block < head; ++block) layers += padded(planned, block);
  // A table of the embedding that the head shares is gathered for both.
  const double ends = padded(planned, head) + padded(planned, 0) * (planned.model.tied() ? 2 : 1);
  const double reduced =
      partition_volume(padded(planned, 0) + layers + padded(planned, head), {4, 4, 4}, wires).reduce;
  EXPECT_EQ(static_cast<double>(outcome.ranks[0].received.at("shards")),
            micro_batches * (partition_volume(layers, {4, 4, 4}, wires).gather +
                             kept_weights_volume(ends, {4, 4, 4}, wires).gather + reduced));
}

INSTANTIATE_TEST_SUITE_P(Models, StepBytes, testing::Values("llama", "llama_tied", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace strata
