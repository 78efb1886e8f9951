// SPDX-License-Identifier: Apache-2.0
#include "core/program/program.h"

#include <algorithm>

#include "core/base/check.h"

namespace strata {

void check_blocks(const Program& program) {
  const int n = program.num_blocks();
  check(n >= 2, "[program] {} blocks: a model has at least an embedding and a head", n);
  check(n < INT16_MAX && program.micro_batches >= 1 && program.micro_batches < INT16_MAX,
        "[program] {} blocks and {} micro-batches: expected 1 to {} of each", n, program.micro_batches,
        INT16_MAX - 1);
  check(!program.blocks[0].saves_input, "[program] block 0 has no backward_input that would use saved_input");
  for (int b = 0; b < n; ++b) {
    const BlockInfo& block = program.blocks[static_cast<size_t>(b)];
    check(block.has_parameters || (!block.trainable && !block.packed),
          "[program] block {} has no parameters to train or to pack", b);
    if (block.tied_to < 0) continue;
    check(b == program.head(), "[program] block {} is tied, only the head can be", b);
    check(block.tied_to < b && program.blocks[static_cast<size_t>(block.tied_to)].has_parameters,
          "[program] the head is tied to block {}, which has no parameters", block.tied_to);
  }
}

int lowest_trainable(const Program& program) {
  const auto trainable = [](const BlockInfo& block) { return block.trainable; };
  return static_cast<int>(std::find_if(program.blocks.begin(), program.blocks.end(), trainable) -
                          program.blocks.begin());
}

bool needs_backward_input(const Program& program, int b) {
  const int lowest = lowest_trainable(program);
  if (b == 0 || b == program.head() || b < lowest) return false;
  return b > lowest || program.blocks[static_cast<size_t>(b)].defers;
}

std::vector<Value> persistent_values(const Program& program) {
  std::vector<Value> values{{.cls = ValueClass::scalars}};
  for (int b = 0; b < program.num_blocks(); ++b) {
    const BlockInfo& block = program.blocks[static_cast<size_t>(b)];
    const auto add = [&](bool exists, ValueClass cls) {
      if (exists) values.push_back({.cls = cls, .block = static_cast<int16_t>(b)});
    };
    add(block.has_parameters, ValueClass::weight);
    add(block.has_parameters && block.packed, ValueClass::packed);
    add(block.trainable, ValueClass::state);
  }
  return values;
}

}  // namespace strata
