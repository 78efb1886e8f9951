// SPDX-License-Identifier: Apache-2.0
// Pipeline schedules as grids: per rank a list of cells (what, stage, micro-batch). Generators only make
// grids; expand_stages() turns one into a program over blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/program/program.h"

namespace strata {

enum class CellKind : uint8_t {
  forward,          // F
  backward,         // B: both backwards
  backward_input,   // I
  backward_weight,  // W
};

struct Cell {
  CellKind kind = CellKind::forward;
  int16_t stage = 0;
  int16_t micro_batch = 0;

  friend bool operator==(const Cell&, const Cell&) = default;
};

using Grid = std::vector<Cell>;

std::string to_string(const Grid& grid);  // "F0.0 B0.0 F0.1 B0.1": kind, stage, micro-batch

// One stage, each micro-batch forward and backward before the next.
Grid one_stage(int micro_batches);
// A block a stage: `group` micro-batches pass each block before the next one, forwards and back, so that
// weights are wanted once for all of them. Sums stay in ascending order.
Grid by_blocks(int num_blocks, int micro_batches, int group);
// One stage, forward only.
Grid one_stage_evaluation(int micro_batches);

// Blocks [begin, end) of the model.
struct Stage {
  int begin = 0;
  int end = 0;
};

// The blocks' forwards and backwards in the order of the grid, preceded by `begin`. Within a B cell the two
// backwards of each block follow each other, so that at most one block's deferred work exists. Backwards stop
// at the lowest trainable block; forwards below it save nothing. Ends after the backwards: passes add the
// optimizer and the frees.
Program expand_stages(const Grid& grid, const std::vector<Stage>& stages, std::vector<BlockInfo> blocks,
                      int micro_batches, Goal goal);

}  // namespace strata
