// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "core/base/check.h"
#include "core/program/edits.h"
#include "core/program/effects.h"
#include "core/program/passes.h"

namespace strata {
namespace {

// Gradients: which sum a contribution makes or joins, and how sums travel to the level the update reads.
class Gradients {
 public:
  Gradients(Program& program, const PartitionOptions& options)
      : program_(program), tree_(options.order == SumOrder::tree && program.micro_batches > 1) {
    const int m = program.micro_batches;
    check(!tree_ || (m & (m - 1)) == 0, "[partition_pass] a balanced tree over {} micro-batches", m);
  }

  void run() {
    find_contributions();
    for (int b = 0; b < program_.num_blocks(); ++b) {
      if (!program_.blocks[static_cast<size_t>(b)].trains()) continue;
      auto& of_block = contributions_[b];
      int made = 0;
      for (auto& [micro_batch, positions] : of_block) {
        name_sums(b, micro_batch, positions);
        after_micro_batch(b, micro_batch, positions.back(), made++ == 0);
      }
      finish(b, last_position(of_block));
    }
    edits_.apply(program_.list);
  }

 private:
  using Positions = std::vector<size_t>;

  const BlockInfo& block(int b) const { return program_.blocks[static_cast<size_t>(b)]; }
  int16_t slot(int micro_batch) const {
    return static_cast<int16_t>(tree_ && micro_batch > 0 ? micro_batch : -1);
  }

  void find_contributions() {
    for (size_t i = 0; i < program_.list.size(); ++i) {
      const Action& action = program_.list[i];
      if (action.kind != Kind::backward_weight && action.kind != Kind::loss) continue;
      const auto add = [&](int b) { contributions_[b][action.micro_batch].push_back(i); };
      add(action.block);
      if (const int tied = block(action.block).tied_to; action.kind == Kind::loss && tied >= 0) add(tied);
    }
  }

  static size_t last_position(const std::map<int, Positions>& of_block) {
    size_t last = 0;
    for (const auto& [micro_batch, positions] : of_block) last = std::max(last, positions.back());
    return last;
  }

  // In a tree, or where a sum leaves after every micro-batch, each one begins anew.
  void name_sums(int b, int micro_batch, const Positions& positions) {
    if (!tree_ && block(b).grad_level == 0) return;
    check(!tree_ || block(program_.head()).tied_to != b,
          "[partition_pass] a shared gradient in a tree of sums: use twins");
    for (size_t i = 0; i < positions.size(); ++i) {
      Action& action = program_.list[positions[i]];
      action.slot = slot(micro_batch);
      action.write = i == 0 ? Write::overwrite : Write::accumulate;
    }
  }

  void after_micro_batch(int b, int micro_batch, size_t position, bool first) {
    if (block(b).grad_level > 0)
      reduce(position, b, slot(micro_batch), 0, block(b).grad_level,
             tree_ || first ? Write::overwrite : Write::accumulate);
    if (!tree_) return;
    // A binary counter: the sums of two neighbouring subtrees of one size become one.
    for (int size = 1, at = micro_batch; (at / size) % 2 == 1; size *= 2) {
      const int left = at - size;
      edits_.insert(position + 1, {.kind = Kind::fold,
                                   .block = static_cast<int16_t>(b),
                                   .slot = slot(left),
                                   .with = static_cast<int16_t>(at)});
      at = left;
    }
  }

  void finish(int b, size_t position) {
    const BlockInfo& info = block(b);
    if (info.state_level > info.grad_level)
      reduce(position, b, -1, info.grad_level, info.state_level, Write::overwrite);
    if (info.replicated) reduce(position, b, -1, info.state_level, info.state_level, Write::accumulate);
    if (info.partial) edits_.insert(position + 1, {.kind = Kind::complete, .block = static_cast<int16_t>(b)});
  }

  void reduce(size_t position, int b, int16_t slot, uint8_t from, uint8_t to, Write write) {
    edits_.insert(position + 1, {.kind = Kind::reduce,
                                 .block = static_cast<int16_t>(b),
                                 .slot = slot,
                                 .write = write,
                                 .level = from,
                                 .to = to});
  }

  Program& program_;
  bool tree_;
  Edits edits_;
  std::map<int, std::map<int, Positions>> contributions_;  // by block, by micro-batch
};

// Weights: gathered for a run of uses of one block, with no other block's use between them.
class Gathers {
 public:
  Gathers(Program& program, int ahead) : program_(program), ahead_(ahead) {}

  void run() {
    find_runs();
    Edits edits;
    for (size_t k = 0; k < runs_.size(); ++k) {
      const Run& run = runs_[k];
      const BlockInfo& info = program_.blocks[static_cast<size_t>(run.block)];
      if (info.weight_level == 0) continue;
      const size_t lead = k - std::min(k, static_cast<size_t>(ahead_));
      const auto b = static_cast<int16_t>(run.block);
      edits.insert(runs_[lead].first, {.kind = Kind::gather, .block = b});
      if (info.packed) edits.insert(run.first, {.kind = Kind::pack, .block = b});
    }
    edits.apply(program_.list);
  }

 private:
  struct Run {
    int block;
    size_t first;    // list position of its first use
    size_t seen_at;  // how many runs there were at its last use
  };

  void find_runs() {
    for (size_t i = 0; i < program_.list.size(); ++i) {
      if (program_.list[i].kind == Kind::free) continue;
      for (const Effect& effect : effects(program_.list[i], program_.blocks))
        if (effect.value.cls == ValueClass::weight && effect.value.level == 0) use(effect.value.block, i);
    }
  }

  // Weights stay when they would be gathered again before, or just as, they had gone.
  void use(int block, size_t position) {
    const auto [at, fresh] = newest_.try_emplace(block, runs_.size());
    if (!fresh && runs_.size() - runs_[at->second].seen_at <= static_cast<size_t>(ahead_)) {
      runs_[at->second].seen_at = runs_.size();
      return;
    }
    at->second = runs_.size();
    runs_.push_back({block, position, runs_.size() + 1});
  }

  Program& program_;
  int ahead_;
  std::vector<Run> runs_;
  std::map<int, size_t> newest_;  // run of a block
};

}  // namespace

Pass partition_pass(PartitionOptions options) {
  return [options = std::move(options)](Program& program) {
    if (program.goal == Goal::train) Gradients(program, options).run();
    Gathers(program, options.gather_ahead).run();
    if (program.goal != Goal::train) return;
    for (int b = 0; b < program.num_blocks(); ++b) {
      const BlockInfo& info = program.blocks[static_cast<size_t>(b)];
      if (!info.trains() || info.twin < 0) continue;
      const bool both_here = program.blocks[static_cast<size_t>(info.twin)].here;
      if (both_here && info.twin < b) continue;  // one action for both
      const int peer = both_here ? -1 : options.rank_of_block.at(static_cast<size_t>(info.twin));
      program.list.push_back(
          {.kind = Kind::tie, .block = static_cast<int16_t>(b), .peer = static_cast<int16_t>(peer)});
    }
  };
}

}  // namespace strata
