// SPDX-License-Identifier: Apache-2.0
#include <unordered_set>

#include "core/program/edits.h"
#include "core/program/passes.h"

namespace strata {
namespace {

// Whether anything below block b is trained: only then is the gradient of its input wanted.
bool sends_gradient(const Program& program, int b) { return lowest_trainable(program) < b; }

class Exchange {
 public:
  Exchange(Program& program, const std::vector<Stage>& stages, const std::vector<int>& rank_of_stage,
           int rank)
      : program_(program), stages_(stages), rank_of_stage_(rank_of_stage), rank_(rank) {}

  void run() {
    for (size_t i = 0; i < program_.list.size(); ++i) {
      const Action& action = program_.list[i];
      if (action.block < 0) continue;
      const int s = stage_of(action.block);
      if (s < 0) continue;
      const Stage& stage = stages_[static_cast<size_t>(s)];
      const int below = s > 0 ? rank_of_stage_[static_cast<size_t>(s) - 1] : rank_;
      const int above =
          static_cast<size_t>(s) + 1 < stages_.size() ? rank_of_stage_[static_cast<size_t>(s) + 1] : rank_;
      const bool first = action.block == stage.begin, last = action.block == stage.end - 1;
      const bool head = action.kind == Kind::loss || action.kind == Kind::loss_only;
      const bool forward = action.kind == Kind::forward;
      const bool backward = action.kind == Kind::backward_input || action.kind == Kind::backward_weight;
      if ((forward || head) && first && below != rank_)
        message(i, Kind::receive, ValueClass::x, stage.begin, below, action);
      if (forward && last && above != rank_)
        message(i + 1, Kind::send, ValueClass::x, stage.end, above, action);
      if (backward && last && above != rank_ && received_.insert(cell(stage.end, action.micro_batch)).second)
        message(i, Kind::receive, ValueClass::dx, stage.end, above, action);
      if ((action.kind == Kind::backward_input || action.kind == Kind::loss) && first && below != rank_ &&
          sends_gradient(program_, stage.begin))
        message(i + 1, Kind::send, ValueClass::dx, stage.begin, below, action);
    }
    edits_.apply(program_.list);
  }

 private:
  static int32_t cell(int block, int micro_batch) { return block << 16 | micro_batch; }

  int stage_of(int block) const {
    for (size_t s = 0; s < stages_.size(); ++s)
      if (block >= stages_[s].begin && block < stages_[s].end)
        return rank_of_stage_[s] == rank_ ? static_cast<int>(s) : -1;
    return -1;
  }
  void message(size_t position, Kind kind, ValueClass cls, int block, int peer, const Action& of) {
    edits_.insert(position, {.kind = kind,
                             .block = static_cast<int16_t>(block),
                             .micro_batch = of.micro_batch,
                             .peer = static_cast<int16_t>(peer),
                             .cls = cls});
  }

  Program& program_;
  const std::vector<Stage>& stages_;
  const std::vector<int>& rank_of_stage_;
  int rank_;
  Edits edits_;
  std::unordered_set<int32_t> received_;
};

}  // namespace

Pass exchange_pass(std::vector<Stage> stages, std::vector<int> rank_of_stage, int rank) {
  return [=](Program& program) { Exchange(program, stages, rank_of_stage, rank).run(); };
}

}  // namespace strata
