// SPDX-License-Identifier: Apache-2.0
#include "tests/core/program/random_programs.h"

#include <algorithm>
#include <map>

#include "core/program/effects.h"
#include "core/program/passes.h"

namespace strata::random_programs {

namespace {

std::vector<BlockInfo> blocks(Random& random, bool train) {
  std::vector<BlockInfo> blocks(static_cast<size_t>(draw(random, 2, 6)));
  const int frozen_below = chance(random, 30) ? draw(random, 0, static_cast<int>(blocks.size()) - 1) : 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    BlockInfo& block = blocks[b];
    block.has_parameters = b == 0 || b + 1 == blocks.size() || chance(random, 85);
    block.trainable = block.has_parameters && static_cast<int>(b) >= frozen_below && chance(random, 90);
    block.packed = block.has_parameters && chance(random, 70);
    block.saves_input = b > 0 && chance(random, 70);
    block.saves_weight = chance(random, 70);
    block.defers = chance(random, 70);
  }
  if (train && std::none_of(blocks.begin(), blocks.end(), [](const BlockInfo& b) { return b.trainable; }))
    blocks.back().trainable = true;
  if (chance(random, 50)) blocks.back().tied_to = 0;
  return blocks;
}

std::vector<Stage> stages(Random& random, int num_blocks) {
  std::vector<Stage> stages{{0, num_blocks}};
  const int count = draw(random, 1, std::min(3, num_blocks));
  while (static_cast<int>(stages.size()) < count) {
    Stage& last = stages.back();
    if (last.end - last.begin < 2) break;
    const int cut = draw(random, last.begin + 1, last.end - 1);
    const Stage upper{cut, last.end};
    last.end = cut;
    stages.push_back(upper);
  }
  return stages;
}

// Cells in a random order that respects the data flow and the reference order of sums.
Grid grid(Random& random, int num_stages, int micro_batches, bool split, bool tied) {
  Grid done;
  const auto has = [&](CellKind kind, int stage, int mb) {
    return std::find(done.begin(), done.end(),
                     Cell{kind, static_cast<int16_t>(stage), static_cast<int16_t>(mb)}) != done.end();
  };
  const CellKind input = split ? CellKind::backward_input : CellKind::backward;
  const CellKind weight = split ? CellKind::backward_weight : CellKind::backward;
  for (;;) {
    Grid ready;
    const auto offer = [&](CellKind kind, int s, int mb, bool possible) {
      if (possible && !has(kind, s, mb))
        ready.push_back({kind, static_cast<int16_t>(s), static_cast<int16_t>(mb)});
    };
    for (int s = 0; s < num_stages; ++s) {
      for (int mb = 0; mb < micro_batches; ++mb) {
        const bool last = s + 1 == num_stages;
        offer(CellKind::forward, s, mb, s == 0 || has(CellKind::forward, s - 1, mb));
        bool turn = last ? has(CellKind::forward, s, mb) && (mb == 0 || has(input, s, mb - 1))
                         : has(input, s + 1, mb);
        if (!split) turn = turn && (mb == 0 || has(weight, s, mb - 1));
        // A tied pair's sum takes the head's part and the table's part of a micro-batch in turn.
        if (last && tied && mb > 0) turn = turn && has(weight, 0, mb - 1);
        offer(input, s, mb, turn);
        if (split) offer(weight, s, mb, has(input, s, mb) && (mb == 0 || has(weight, s, mb - 1)));
      }
    }
    if (ready.empty()) return done;
    done.push_back(ready[static_cast<size_t>(draw(random, 0, static_cast<int>(ready.size()) - 1))]);
  }
}

bool makes(const Action& action, const Program& program, uint64_t name) {
  for (const Effect& effect : effects(action, program.blocks))
    if (effect.access == Access::create && key(effect.value) == name) return true;
  return false;
}

// Levels of a random partition over data ranks, the same for every block.
void partition(Random& random, std::vector<BlockInfo>& blocks) {
  const auto state = static_cast<uint8_t>(draw(random, 0, 3));
  const auto weights = static_cast<uint8_t>(draw(random, 0, std::min<int>(state, 1)));
  const auto gradients = static_cast<uint8_t>(draw(random, 0, std::min<int>(state, 2)));
  const bool replicated = chance(random, 40), partial = chance(random, 30);
  for (BlockInfo& block : blocks) {
    block.weight_level = weights;
    block.grad_level = gradients;
    block.state_level = state;
    block.replicated = replicated;
    block.partial = partial;
  }
}

// Homes on any tier, and how values travel.
TierOptions tiers(Random& random, std::vector<BlockInfo>& blocks) {
  const bool uneven = chance(random, 50);
  const auto tier = [&] { return static_cast<Tier>(draw(random, 0, kNumTiers - 1)); };
  const Tier weight = tier(), grad = tier(), master = tier(), moments = tier();
  for (BlockInfo& block : blocks) {
    block.has_master = chance(random, 60);
    block.has_moments = chance(random, 80);
    if (&block != &blocks.front()) block.x_home = tier();
    block.x_quantized = uneven && block.x_home != Tier::device;
    if (block.has_parameters) block.weight_home = uneven ? tier() : weight;
    if (block.trainable) block.grad_home = uneven ? tier() : grad;
    if (block.trainable && block.has_master) block.master_home = uneven ? tier() : master;
    if (block.trainable && block.has_moments) block.moments_home = uneven ? tier() : moments;
  }
  return {.prefetch = draw(random, 0, 3), .through_host = chance(random, 50)};
}

void delay_frees(Random& random, Program& program) {
  for (size_t i = program.list.size(); i-- > 0;)
    if (program.list[i].kind == Kind::free && chance(random, 30)) {
      const auto at = program.list.begin() + static_cast<std::ptrdiff_t>(i);
      const int room = static_cast<int>(program.list.end() - at) - 1;
      // Not past the end of the step nor past a new life of the name.
      const auto life = key(freed_value(*at));
      int far = 0;
      for (const int most = draw(random, 0, std::min(room, 6)); far < most; ++far)
        if (at[far + 1].kind != Kind::free && makes(at[far + 1], program, life)) break;
      std::rotate(at, at + 1, at + 1 + far);
    }
}

}  // namespace

Program training(Random& random) {
  std::vector<BlockInfo> model = blocks(random, true);
  const int micro_batches = draw(random, 1, 4);
  const auto split_at = stages(random, static_cast<int>(model.size()));
  const bool tied = model.back().tied_to >= 0;
  if (chance(random, 50)) partition(random, model);
  const TierOptions travels = chance(random, 60) ? tiers(random, model) : TierOptions{};
  Program program =
      expand_stages(grid(random, static_cast<int>(split_at.size()), micro_batches, chance(random, 50), tied),
                    split_at, model, micro_batches, Goal::train);
  std::vector<int> recompute;
  for (int b = 1; b < program.head(); ++b)
    if (chance(random, 40)) recompute.push_back(b);
  recompute_pass(recompute)(program);
  program.ranks = chance(random, 50) ? 1 : 4;
  partition_pass({.gather_ahead = draw(random, 0, 2)})(program);
  optimizer_pass(chance(random, 40) ? Timing::deferred : Timing::sync)(program);
  tier_pass(travels)(program);
  free_pass()(program);
  delay_frees(random, program);
  return program;
}

Program evaluation(Random& random) {
  std::vector<BlockInfo> model = blocks(random, false);
  StepOptions options;
  if (chance(random, 50)) options.tiers = tiers(random, model);
  Program program = make_evaluation(std::move(model), draw(random, 1, 4), options);
  delay_frees(random, program);
  return program;
}

Job job(Random& random) {
  std::vector<BlockInfo> model;
  while (model.size() < 3) model = blocks(random, true);
  model.back().tied_to = -1;
  if (model.front().trainable && model.back().trainable && chance(random, 50)) {
    model.front().twin = static_cast<int16_t>(model.size() - 1);
    model.back().twin = 0;
  }
  partition(random, model);
  const int micro_batches = 1 << draw(random, 0, 2);
  const auto stages = random_programs::stages(random, static_cast<int>(model.size()));
  const auto num_stages = static_cast<int>(stages.size());
  const int ranks = draw(random, 1, num_stages);
  Pipeline pipeline{
      .grids = std::vector<Grid>(static_cast<size_t>(ranks)), .stages = stages, .rank_of_stage = {}};
  for (int s = 0; s < num_stages; ++s) pipeline.rank_of_stage.push_back(s % ranks);
  // Any legal order of the whole grid is a legal order of each rank's part of it.
  for (const Cell& cell : grid(random, num_stages, micro_batches, chance(random, 50), false))
    pipeline.grids[static_cast<size_t>(pipeline.rank_of_stage[static_cast<size_t>(cell.stage)])].push_back(
        cell);
  StepOptions options{.order = chance(random, 50) ? SumOrder::tree : SumOrder::ascending,
                      .gather_ahead = draw(random, 0, 2),
                      .timing = chance(random, 40) ? Timing::deferred : Timing::sync,
                      .ranks = ranks * draw(random, 1, 4)};
  if (chance(random, 50)) options.tiers = tiers(random, model);
  for (int b = 1; b + 1 < static_cast<int>(model.size()); ++b)
    if (chance(random, 40)) options.recompute.push_back(b);
  return {make_pipeline(model, micro_batches, Goal::train, pipeline, options, Costs()), options.order};
}

LaneMap lanes(Random& random, int count) {
  std::array<std::array<Lane, 3>, kNumKinds> table;
  for (auto& row : table)
    for (Lane& lane : row) lane = static_cast<Lane>(draw(random, 0, count - 1));
  return [table](const Action& action) {
    return table[static_cast<size_t>(action.kind)][static_cast<size_t>(action.block + 1) % 3];
  };
}

std::string spoil(Random& random, Program& program) {
  auto& list = program.list;
  const auto any = [&] { return static_cast<size_t>(draw(random, 0, static_cast<int>(list.size()) - 1)); };
  const size_t i = any();
  Action& action = list[i];
  const std::string what = to_string(action) + " at " + std::to_string(i);
  switch (draw(random, 0, 5)) {
    case 0:
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
      return "drop " + what;
    case 1: {
      const size_t j = std::min(list.size() - 1, i + static_cast<size_t>(draw(random, 1, 12)));
      std::swap(list[i], list[j]);
      return "swap " + what + " with " + std::to_string(j);
    }
    case 2: {
      const Action copy = action;
      const size_t j = chance(random, 50) ? i : any();
      list.insert(list.begin() + static_cast<std::ptrdiff_t>(j), copy);
      return "duplicate " + what + " to " + std::to_string(j);
    }
    case 3: {
      const Action moved = action;
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
      const size_t j = static_cast<size_t>(draw(random, 0, static_cast<int>(list.size())));
      list.insert(list.begin() + static_cast<std::ptrdiff_t>(j), moved);
      return "move " + what + " to " + std::to_string(j);
    }
    case 4: {
      if (!info(action.kind).block)
        action.kind = action.kind == Kind::begin ? Kind::clip : Kind::begin;
      else if (info(action.kind).peer && chance(random, 40))
        action.peer = static_cast<int16_t>(draw(random, -1, 4));
      else if (info(action.kind).slot && chance(random, 30))
        action.slot = static_cast<int16_t>(draw(random, -1, program.micro_batches));
      else if (info(action.kind).with && chance(random, 50))
        action.with = static_cast<int16_t>(draw(random, 0, program.micro_batches));
      else if (info(action.kind).levels && chance(random, 50))
        (chance(random, 50) ? action.level : action.to) = static_cast<uint8_t>(draw(random, 0, 3));
      else if (action.micro_batch >= 0 && chance(random, 50))
        action.micro_batch = static_cast<int16_t>(draw(random, 0, program.micro_batches));
      else if (is_move(action) && chance(random, 50))
        (chance(random, 50) ? action.tier : action.onto) = static_cast<Tier>(draw(random, 0, kNumTiers - 1));
      else if (action.kind == Kind::free && chance(random, 30))
        action.tier = static_cast<Tier>(draw(random, 0, kNumTiers - 1));
      else if (info(action.kind).value && chance(random, 50))
        action.cls = static_cast<ValueClass>(draw(random, 0, kNumValueClasses - 1));
      else
        action.block = static_cast<int16_t>(draw(random, 0, program.num_blocks()));
      return "retarget " + what;
    }
    default:
      if (action.kind == Kind::forward)
        action.keep = action.keep == Keep::save ? Keep::discard : Keep::save;
      else if (info(action.kind).write)
        action.write = action.write == Write::overwrite ? Write::accumulate : Write::overwrite;
      else if (info(action.kind).cls)
        action.cls = action.cls == ValueClass::x ? ValueClass::dx : ValueClass::x;
      else {
        action = {.kind = static_cast<Kind>(draw(random, 0, kNumKinds - 2))};
        if (info(action.kind).block)
          action.block = static_cast<int16_t>(draw(random, 0, program.num_blocks() - 1));
        if (info(action.kind).micro_batch)
          action.micro_batch = static_cast<int16_t>(draw(random, 0, program.micro_batches - 1));
      }
      return "flip " + what;
  }
}

std::optional<std::string> spoil(Random& random, LinkedProgram& linked) {
  const auto pick = [&](size_t size) {
    return static_cast<size_t>(draw(random, 0, static_cast<int>(size) - 1));
  };
  if (chance(random, 60)) {
    if (linked.waits.empty()) return std::nullopt;
    const size_t w = pick(linked.waits.size());
    for (size_t i = 0; i < linked.actions.size(); ++i) {
      LinkedAction& action = linked.actions[i];
      const auto offset = static_cast<int32_t>(w) - action.first_wait;
      if (offset < 0 || offset >= action.num_waits) continue;
      // Two lanes that add to the map at once: the judge's additions are never torn.
      const Action& other = linked.program.list[static_cast<size_t>(linked.lanes[static_cast<size_t>(
          linked.waits[w].lane)][static_cast<size_t>(linked.waits[w].sequence)])];
      if (linked.program.list[i].kind == Kind::store && other.kind == Kind::store) return std::nullopt;
      const std::string what = "wait of action " + std::to_string(i) + " on lane " +
                               std::string(name(linked.waits[w].lane)) + " number " +
                               std::to_string(linked.waits[w].sequence);
      if (linked.waits[w].sequence > 0 && chance(random, 40)) {
        --linked.waits[w].sequence;
        return "weaken " + what;
      }
      if (!linked.waits[w].previous_step && chance(random, 20)) {
        linked.waits[w].previous_step = true;
        return "take for the step before: " + what;
      }
      std::swap(linked.waits[w], linked.waits[static_cast<size_t>(action.first_wait + action.num_waits - 1)]);
      --action.num_waits;
      return "remove " + what;
    }
    return std::nullopt;
  }
  const size_t from = pick(linked.buffers.size()), to = pick(linked.buffers.size());
  PlannedBuffer& buffer = linked.buffers[from];
  const PlannedBuffer& target = linked.buffers[to];
  if (from == to || buffer.offset == target.offset) return std::nullopt;
  if (buffer.value.tier != target.value.tier ||
      target.offset + buffer.bytes > linked.memory[buffer.value.tier].arena)
    return std::nullopt;
  // Gradients of a deferred update are made anew in the list: what lies over them in between does no harm,
  // and is refused all the same.
  for (const PlannedBuffer& grad : linked.buffers)
    if (grad.begin < 0 && grad.value.cls == ValueClass::grad && grad.value.tier == buffer.value.tier &&
        (&grad == &buffer ||
         (grad.offset < target.offset + buffer.bytes && target.offset < grad.offset + grad.bytes)))
      return std::nullopt;
  buffer.offset = target.offset;
  for (Operand& operand : linked.operands)
    if (operand.buffer == static_cast<int32_t>(from)) operand.offset = buffer.offset;
  return "lay buffer " + std::to_string(from) + " over " + std::to_string(to);
}

}  // namespace strata::random_programs
