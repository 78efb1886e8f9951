// SPDX-License-Identifier: Apache-2.0
#include "core/program/passes.h"

#include <algorithm>
#include <cstdint>
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

namespace {

// A block's new weights and what follows from them.
std::vector<Action> update_of(int16_t b, const BlockInfo& block) {
  std::vector<Action> actions{{.kind = Kind::update, .block = b}};
  if (block.state_level > block.weight_level) actions.push_back({.kind = Kind::spread, .block = b});
  // While the new weights are still in the cache. Gathered ones are packed where they are gathered.
  if (block.keeps_packed()) actions.push_back({.kind = Kind::pack, .block = b});
  return actions;
}

bool uses_weights(const Action& action, const Program& program, int block) {
  for (const Effect& effect : effects(action, program.blocks))
    if (effect.value.block == block &&
        (effect.value.cls == ValueClass::weight || effect.value.cls == ValueClass::packed))
      return true;
  return false;
}

// The updates of the step before, as late as their weights allow; the scalars that they read last until then.
void defer_updates(Program& program) {
  Edits edits;
  std::vector<Action>& list = program.list;
  for (int16_t b = 0; b < program.num_blocks(); ++b) {
    const BlockInfo& block = program.blocks[static_cast<size_t>(b)];
    if (!block.trains()) continue;
    const auto first = std::find_if(list.begin(), list.end(),
                                    [&](const Action& action) { return uses_weights(action, program, b); });
    for (const Action& action : update_of(b, block))
      edits.insert(static_cast<size_t>(first - list.begin()), action);
  }
  // Every block's forward comes before the first loss, wherever the head is.
  const auto summed = std::find_if(list.begin(), list.end(), [](const Action& action) {
    return action.kind == Kind::loss || action.kind == Kind::norm || action.kind == Kind::total ||
           action.kind == Kind::clip;
  });
  check(list.front().kind == Kind::begin, "[optimizer_pass] a step that begins with `{}`", list.front());
  edits.insert(static_cast<size_t>(summed - list.begin()), list.front());
  edits.apply(list);
  list.erase(std::find_if(list.begin(), list.end(), [](const Action& a) { return a.kind == Kind::begin; }));
}

}  // namespace

Pass optimizer_pass(Timing timing) {
  return [timing](Program& program) {
    const bool deferred = timing == Timing::deferred, train = program.goal == Goal::train;
    const auto each_trainable = [&](auto visit) {
      for (int b = 0; b < program.num_blocks(); ++b)
        if (const BlockInfo& block = program.blocks[static_cast<size_t>(b)]; block.trains())
          visit(static_cast<int16_t>(b), block);
    };
    // Also of an evaluation, which leaves them alone: both programs have the same values at the same places.
    each_trainable([&](int16_t b, const BlockInfo& block) {
      if (deferred)
        program.initial.push_back(
            {.cls = ValueClass::grad, .block = b, .tier = block.grad_home, .level = block.state_level});
      if (train) program.list.push_back({.kind = Kind::norm, .block = b});
    });
    if (program.ranks > 1) program.list.push_back({.kind = Kind::total});
    if (!train) return;
    program.list.push_back({.kind = Kind::clip});
    if (deferred) return defer_updates(program);
    each_trainable([&](int16_t b, const BlockInfo& block) {
      for (const Action& action : update_of(b, block)) program.list.push_back(action);
    });
  };
}

namespace {

// Where a value's memory is free to be used again: behind its last use. But where a deferred update leaves by
// a slow lane, not before two more blocks are updated: what computes meanwhile would have to wait for the
// drive.
size_t end_of(const Value& value, size_t last_use, const std::vector<Action>& list) {
  if (list[last_use].kind != Kind::store || !persistent(value.cls)) return last_use + 1;
  constexpr int kBlocks = 2;
  size_t end = last_use + 1;
  for (size_t i = end, updates = 0; i < list.size(); ++i) {
    if (list[i].kind == Kind::begin) return end;  // a deferred one
    if (list[i].kind == Kind::update && ++updates == kBlocks + 1) end = i;
  }
  return last_use + 1;
}

}  // namespace

Pass free_pass() {
  return [](Program& program) {
    struct Life {
      Value value;
      size_t last_use;
      size_t next = SIZE_MAX;  // where it is made anew
      bool lasts = false;      // into the next step
    };
    std::unordered_map<uint64_t, size_t> newest;
    std::vector<Life> lives;  // in the order of creation, so that the text is the same everywhere
    for (size_t i = 0; i < program.list.size(); ++i) {
      for (const Effect& effect : effects(program.list[i], program.blocks)) {
        const auto [at, fresh] = newest.try_emplace(key(effect.value), lives.size());
        if (fresh || effect.access == Access::create) {
          if (!fresh) lives[at->second].next = i;
          at->second = lives.size();
          lives.push_back({effect.value, i});
        } else {
          lives[at->second].last_use = i;
        }
      }
    }
    // An initial value that is made anew has two lives in the list, and the last one does not end in it.
    for (const Value& value : program.initial)
      if (const auto at = newest.find(key(value)); at != newest.end()) lives[at->second].lasts = true;
    Edits edits;
    for (const Life& life : lives)
      if (!life.lasts && program.list[life.last_use].kind != Kind::free)
        edits.insert(std::min(life.next, end_of(life.value, life.last_use, program.list)),
                     free_of(life.value));
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
  optimizer_pass(options.timing)(program);
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
