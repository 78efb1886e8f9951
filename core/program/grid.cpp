// SPDX-License-Identifier: Apache-2.0
#include "core/program/grid.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {

std::string to_string(const Grid& grid) {
  std::string text;
  for (const Cell& cell : grid) {
    if (!text.empty()) text += ' ';
    text += "FBIW"[static_cast<size_t>(cell.kind)];
    text += std::to_string(cell.stage) + "." + std::to_string(cell.micro_batch);
  }
  return text;
}

Grid one_stage(int micro_batches) {
  Grid grid;
  for (int mb = 0; mb < micro_batches; ++mb) {
    grid.push_back({CellKind::forward, 0, narrow<int16_t>(mb)});
    grid.push_back({CellKind::backward, 0, narrow<int16_t>(mb)});
  }
  return grid;
}

Grid by_blocks(int num_blocks, int micro_batches, int group) {
  check(group >= 1, "[grid] groups of {} micro-batches", group);
  Grid grid;
  for (int first = 0; first < micro_batches; first += group) {
    const int end = std::min(first + group, micro_batches);
    const auto pass = [&](CellKind kind, int stage) {
      for (int mb = first; mb < end; ++mb)
        grid.push_back({kind, narrow<int16_t>(stage), narrow<int16_t>(mb)});
    };
    for (int stage = 0; stage < num_blocks; ++stage) pass(CellKind::forward, stage);
    for (int stage = num_blocks - 1; stage >= 0; --stage) pass(CellKind::backward, stage);
  }
  return grid;
}

Grid one_stage_evaluation(int micro_batches) {
  Grid grid;
  for (int mb = 0; mb < micro_batches; ++mb) grid.push_back({CellKind::forward, 0, narrow<int16_t>(mb)});
  return grid;
}

namespace {

class Expansion {
 public:
  explicit Expansion(Program& program)
      : program_(program), written_(program.blocks.size(), false), lowest_(lowest_trainable(program)) {}

  void add(const Cell& cell, const Stage& stage) {
    mb_ = cell.micro_batch;
    const int head = program_.head();
    const bool train = program_.goal == Goal::train;
    if (cell.kind == CellKind::forward) {
      for (int b = stage.begin; b < std::min(stage.end, head); ++b)
        action(Kind::forward, b).keep = train && b >= lowest_ ? Keep::save : Keep::discard;
      if (!train && stage.end == head + 1) action(Kind::loss_only, head);
      return;
    }
    const bool input = cell.kind != CellKind::backward_weight;
    const bool weight = cell.kind != CellKind::backward_input;
    if (input && stage.end == head + 1) gradient(Kind::loss, head);
    for (int b = std::min(stage.end, head) - 1; b >= std::max(stage.begin, lowest_); --b) {
      const BlockInfo& block = program_.blocks[static_cast<size_t>(b)];
      if (input && needs_backward_input(program_, b)) action(Kind::backward_input, b);
      if (weight && block.trainable) gradient(Kind::backward_weight, b);
    }
  }

 private:
  Action& action(Kind kind, int b) {
    Action& added = program_.list.emplace_back();
    added.kind = kind;
    added.block = static_cast<int16_t>(b);
    added.micro_batch = mb_;
    return added;
  }
  // The first contribution to a block's gradients makes them. A tied pair's first contribution is the head's.
  void gradient(Kind kind, int b) {
    const int tied = program_.blocks[static_cast<size_t>(b)].tied_to;
    Action& added = action(kind, b);
    added.write = written_[static_cast<size_t>(b)] ? Write::accumulate : Write::overwrite;
    written_[static_cast<size_t>(b)] = true;
    if (tied >= 0) written_[static_cast<size_t>(tied)] = true;
  }

  Program& program_;
  std::vector<bool> written_;
  int lowest_;
  int16_t mb_ = 0;
};

}  // namespace

Program expand_stages(const Grid& grid, const std::vector<Stage>& stages, std::vector<BlockInfo> blocks,
                      int micro_batches, Goal goal) {
  Program program{
      .goal = goal, .micro_batches = micro_batches, .blocks = std::move(blocks), .list = {}, .initial = {}};
  check_blocks(program);
  check(goal == Goal::evaluate || lowest_trainable(program) < program.num_blocks(),
        "[expand_stages] a training step of a model without trainable blocks");
  program.initial = persistent_values(program);
  program.list.push_back({.kind = Kind::begin});
  Expansion expansion(program);
  for (const Cell& cell : grid) {
    check(cell.stage >= 0 && cell.stage < static_cast<int>(stages.size()) && cell.micro_batch >= 0 &&
              cell.micro_batch < micro_batches,
          "[expand_stages] cell {} in a grid of {} stages and {} micro-batches", to_string(Grid{cell}),
          stages.size(), micro_batches);
    const Stage& stage = stages[static_cast<size_t>(cell.stage)];
    check(0 <= stage.begin && stage.begin < stage.end && stage.end <= program.num_blocks(),
          "[expand_stages] stage {} holds blocks [{}, {}) of {}", cell.stage, stage.begin, stage.end,
          program.num_blocks());
    check(program.blocks[static_cast<size_t>(stage.begin)].here,
          "[expand_stages] cell {} of a stage that another rank holds", to_string(Grid{cell}));
    expansion.add(cell, stage);
  }
  return program;
}

}  // namespace strata
