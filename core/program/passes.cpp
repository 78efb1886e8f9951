// SPDX-License-Identifier: Apache-2.0
#include "core/program/passes.h"

#include <unordered_map>
#include <unordered_set>

#include "core/base/check.h"
#include "core/program/edits.h"
#include "core/program/effects.h"
#include "core/program/grid.h"

namespace strata {

Pass recompute_pass(std::vector<int> blocks) {
  return [blocks = std::move(blocks)](Program& program) {
    std::vector<bool> chosen(program.blocks.size(), false);
    for (const int b : blocks) {
      check(b > 0 && b < program.head(),
            "[recompute_pass] block {} of {}: only blocks between the first and the head", b,
            program.num_blocks());
      const BlockInfo& block = program.blocks[static_cast<size_t>(b)];
      // Running forward again for nothing would be right, but slow.
      chosen[static_cast<size_t>(b)] =
          block.saves_weight || (block.saves_input && needs_backward_input(program, b));
    }
    Edits edits;
    std::unordered_set<int32_t>
        discarded;  // (block, micro-batch) that saved, does not any more, and is needed again
    const auto cell = [](const Action& a) { return int32_t{a.block} << 16 | a.micro_batch; };
    for (size_t i = 0; i < program.list.size(); ++i) {
      Action& action = program.list[i];
      if (action.kind == Kind::forward && action.keep == Keep::save &&
          chosen[static_cast<size_t>(action.block)]) {
        action.keep = Keep::discard;
        discarded.insert(cell(action));
      }
      const bool backward = action.kind == Kind::backward_input || action.kind == Kind::backward_weight;
      if (backward && discarded.erase(cell(action)) == 1)
        edits.insert(i, {.kind = Kind::recompute, .block = action.block, .micro_batch = action.micro_batch});
    }
    edits.apply(program.list);
  };
}

Pass optimizer_pass() {
  return [](Program& program) {
    const auto each_trainable = [&](auto visit) {
      for (int b = 0; b < program.num_blocks() && program.goal == Goal::train; ++b)
        if (const BlockInfo& block = program.blocks[static_cast<size_t>(b)]; block.trains())
          visit(static_cast<int16_t>(b), block);
    };
    each_trainable(
        [&](int16_t b, const BlockInfo&) { program.list.push_back({.kind = Kind::norm, .block = b}); });
    if (program.ranks > 1) program.list.push_back({.kind = Kind::total});
    if (program.goal == Goal::train) program.list.push_back({.kind = Kind::clip});
    each_trainable([&](int16_t b, const BlockInfo& block) {
      program.list.push_back({.kind = Kind::update, .block = b});
      if (block.state_level > block.weight_level) program.list.push_back({.kind = Kind::spread, .block = b});
      // While the new weights are still in the cache. Gathered ones are packed where they are gathered.
      if (block.keeps_packed()) program.list.push_back({.kind = Kind::pack, .block = b});
    });
  };
}

Pass free_pass() {
  return [](Program& program) {
    std::unordered_set<uint64_t> kept;
    for (const Value& value : program.initial) kept.insert(key(value));
    struct Life {
      Value value;
      size_t last_use;
    };
    std::unordered_map<uint64_t, size_t> newest;
    std::vector<Life> lives;  // in the order of creation, so that the text is the same everywhere
    for (size_t i = 0; i < program.list.size(); ++i) {
      for (const Effect& effect : effects(program.list[i], program.blocks)) {
        if (kept.contains(key(effect.value))) continue;
        const auto [at, fresh] = newest.try_emplace(key(effect.value), lives.size());
        if (fresh || effect.access == Access::create) {
          at->second = lives.size();
          lives.push_back({effect.value, i});
        } else {
          lives[at->second].last_use = i;
        }
      }
    }
    Edits edits;
    for (const Life& life : lives)
      if (program.list[life.last_use].kind != Kind::free)
        edits.insert(life.last_use + 1, free_of(life.value));
    edits.apply(program.list);
  };
}

namespace {

// One rank's list before frees.
Program make_list(const Grid& grid, const std::vector<Stage>& stages, std::vector<BlockInfo> blocks,
                  int micro_batches, Goal goal, const StepOptions& options,
                  const std::vector<Pass>& after_expansion, const std::vector<int>& rank_of_block) {
  Program program = expand_stages(grid, stages, std::move(blocks), micro_batches, goal);
  program.ranks = options.ranks;
  for (const Pass& pass : after_expansion) pass(program);
  std::vector<int> recompute;
  for (const int b : options.recompute)
    if (b < 0 || b >= program.num_blocks() || program.blocks[static_cast<size_t>(b)].here)
      recompute.push_back(b);
  if (goal == Goal::train) recompute_pass(std::move(recompute))(program);
  partition_pass({options.order, options.gather_ahead, rank_of_block})(program);
  optimizer_pass()(program);
  tier_pass(options.tiers)(program);
  return program;
}

Program make_single(std::vector<BlockInfo> blocks, int micro_batches, Goal goal, const StepOptions& options) {
  const Stage whole{0, static_cast<int>(blocks.size())};
  const Grid grid = goal == Goal::train ? one_stage(micro_batches) : one_stage_evaluation(micro_batches);
  Program program = make_list(grid, {whole}, std::move(blocks), micro_batches, goal, options, {}, {});
  free_pass()(program);
  return program;
}

}  // namespace

Program make_step(std::vector<BlockInfo> blocks, int micro_batches, const StepOptions& options) {
  return make_single(std::move(blocks), micro_batches, Goal::train, options);
}

Program make_evaluation(std::vector<BlockInfo> blocks, int micro_batches, const StepOptions& options) {
  return make_single(std::move(blocks), micro_batches, Goal::evaluate, options);
}

int Pipeline::rank_of_block(int block) const {
  for (size_t s = 0; s < stages.size(); ++s)
    if (block >= stages[s].begin && block < stages[s].end) return rank_of_stage[s];
  fail_contract(fmt::format("[pipeline] block {} is in none of {} stages", block, stages.size()));
}

std::vector<Program> make_pipeline(const std::vector<BlockInfo>& blocks, int micro_batches, Goal goal,
                                   const Pipeline& pipeline, const StepOptions& options,
                                   const CostModel& costs) {
  std::vector<int> rank_of_block(blocks.size());
  for (size_t b = 0; b < blocks.size(); ++b) rank_of_block[b] = pipeline.rank_of_block(static_cast<int>(b));
  std::vector<Program> programs;
  for (int rank = 0; rank < pipeline.ranks(); ++rank) {
    std::vector<BlockInfo> own = blocks;
    for (size_t b = 0; b < own.size(); ++b) own[b].here = rank_of_block[b] == rank;
    programs.push_back(make_list(
        pipeline.grids[static_cast<size_t>(rank)], pipeline.stages, std::move(own), micro_batches, goal,
        options, {exchange_pass(pipeline.stages, pipeline.rank_of_stage, rank)}, rank_of_block));
  }
  order_globally(programs, costs);
  for (Program& program : programs) free_pass()(program);
  return programs;
}

}  // namespace strata
