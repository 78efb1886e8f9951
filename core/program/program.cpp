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
    check(block.weight_level <= block.state_level && block.grad_level <= block.state_level,
          "[program] block {}: weights on level {}, gradients on {}, state on {}, which must be the highest",
          b, block.weight_level, block.grad_level, block.state_level);
    if (block.twin >= 0) {
      const bool mutual =
          block.twin < n && block.twin != b && program.blocks[static_cast<size_t>(block.twin)].twin == b;
      check(mutual, "[program] block {} is a twin of block {}, which does not name it", b, block.twin);
      check(block.trainable == program.blocks[static_cast<size_t>(block.twin)].trainable,
            "[program] of the twins {} and {} one is frozen", b, block.twin);
    }
    if (block.tied_to < 0) continue;
    check(b == program.head(), "[program] block {} is tied, only the head can be", b);
    check(block.twin < 0, "[program] the head is tied and has a twin");
    check(block.tied_to < b && program.blocks[static_cast<size_t>(block.tied_to)].has_parameters,
          "[program] the head is tied to block {}, which has no parameters", block.tied_to);
    check(block.here == program.blocks[static_cast<size_t>(block.tied_to)].here,
          "[program] the head is tied to block {}, which another rank holds", block.tied_to);
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
  bool on_nvme = false;
  for (int b = 0; b < program.num_blocks(); ++b) {
    const BlockInfo& block = program.blocks[static_cast<size_t>(b)];
    const auto add = [&](bool exists, ValueClass cls, Tier home, uint8_t level) {
      if (!exists) return;
      values.push_back({.cls = cls, .block = static_cast<int16_t>(b), .tier = home, .level = level});
      on_nvme |= home == Tier::nvme;
    };
    add(block.holds_weights(), ValueClass::weight, block.weight_home, block.weight_level);
    add(block.keeps_packed(), ValueClass::packed, Tier::device, 0);
    add(block.keeps_master(), ValueClass::master, block.master_home, block.state_level);
    add(block.keeps_moments(), ValueClass::moments, block.moments_home, block.state_level);
  }
  if (on_nvme) values.push_back({.cls = ValueClass::map, .tier = Tier::nvme});
  return values;
}

}  // namespace strata
