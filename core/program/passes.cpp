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
      for (int b = 0; b < program.num_blocks(); ++b)
        if (program.blocks[static_cast<size_t>(b)].trainable) visit(static_cast<int16_t>(b));
    };
    each_trainable([&](int16_t b) { program.list.push_back({.kind = Kind::norm, .block = b}); });
    program.list.push_back({.kind = Kind::clip});
    each_trainable([&](int16_t b) {
      program.list.push_back({.kind = Kind::update, .block = b});
      // While the new weights are still in the cache.
      if (program.blocks[static_cast<size_t>(b)].packed)
        program.list.push_back({.kind = Kind::pack, .block = b});
    });
  };
}

Pass free_pass() {
  return [](Program& program) {
    std::unordered_set<uint64_t> kept;
    for (const Value& value : program.initial) kept.insert(key(value));
    struct Last {
      Value value;
      size_t position;
    };
    std::unordered_map<uint64_t, size_t> index;
    std::vector<Last> last;  // in the order of creation, so that the text is the same everywhere
    for (size_t i = 0; i < program.list.size(); ++i) {
      for (const Effect& effect : effects(program.list[i], program.blocks)) {
        if (kept.contains(key(effect.value))) continue;
        const auto [at, fresh] = index.try_emplace(key(effect.value), last.size());
        if (fresh)
          last.push_back({effect.value, i});
        else
          last[at->second].position = i;
      }
    }
    Edits edits;
    for (const Last& use : last)
      if (program.list[use.position].kind != Kind::free) edits.insert(use.position + 1, free_of(use.value));
    edits.apply(program.list);
  };
}

namespace {

Program with_passes(Program program, const std::vector<Pass>& passes) {
  for (const Pass& pass : passes) pass(program);
  return program;
}

}  // namespace

Program make_step(std::vector<BlockInfo> blocks, int micro_batches, const StepOptions& options) {
  const Stage whole{0, static_cast<int>(blocks.size())};
  return with_passes(
      expand_stages(one_stage(micro_batches), {whole}, std::move(blocks), micro_batches, Goal::train),
      {recompute_pass(options.recompute), optimizer_pass(), free_pass()});
}

Program make_evaluation(std::vector<BlockInfo> blocks, int micro_batches) {
  const Stage whole{0, static_cast<int>(blocks.size())};
  return with_passes(expand_stages(one_stage_evaluation(micro_batches), {whole}, std::move(blocks),
                                   micro_batches, Goal::evaluate),
                     {free_pass()});
}

}  // namespace strata
