// SPDX-License-Identifier: Apache-2.0
// Blocks as the tests of passes take them, and a program's list as text.
#pragma once

#include <string>
#include <vector>

#include "core/program/block_info.h"
#include "core/program/program.h"

namespace strata {

// The first block is an embedding: its backward takes neither its input nor its weight.
inline std::vector<BlockInfo> model(int num_blocks) {
  std::vector<BlockInfo> blocks(static_cast<size_t>(num_blocks));
  blocks[0].saves_input = blocks[0].saves_weight = false;
  return blocks;
}

inline std::string lines(const Program& program) {
  std::string text;
  for (const Action& action : program.list) text += to_string(action) + "\n";
  return text;
}

}  // namespace strata
