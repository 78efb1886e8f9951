// SPDX-License-Identifier: Apache-2.0
// StepRunner and updates that are carried over into the next step: one program runs whole steps, the first
// step, which has nothing to apply, and, when somebody wants the weights, the updates alone. The parts of a
// list that is proved whole need no proof of their own: each reads only what was there before the list and
// what it made itself.
#include <algorithm>

#include "core/step/step_runner.h"

namespace strata {

void StepRunner::find_parts() {
  for (int block = 0; block < model_.num_blocks(); ++block)
    update_.emplace_back(model_.parameters(block).size());
  if (plan_.timing() == Timing::sync) return;
  const std::vector<Action>& list = plan_.train().program.list;
  std::vector<size_t> updated(static_cast<size_t>(model_.num_blocks()), 0);  // where, by block
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].kind == Kind::update) updated[static_cast<size_t>(list[i].block)] = i;
  for (size_t i = 0; i < list.size(); ++i) {
    const Action& action = list[i];
    // Behind a block's update nothing is loaded for it any more.
    const bool before = action.block >= 0 && i < updated[static_cast<size_t>(action.block)];
    Part part = Part::step;
    switch (action.kind) {
      case Kind::update:
      case Kind::spread:
      case Kind::commit:
        part = Part::update;
        break;
      case Kind::pack:
        if (plan_.train().program.blocks[static_cast<size_t>(action.block)].keeps_packed())
          part = Part::update;
        break;
      case Kind::load:
        if (action.cls == ValueClass::master || action.cls == ValueClass::moments) part = Part::update;
        if (action.cls == ValueClass::grad && before) part = Part::update;
        if (action.cls == ValueClass::weight && before) part = Part::both;
        break;
      case Kind::store:
        if (persistent(action.cls)) part = Part::update;
        break;
      default:
        break;
    }
    parts_.push_back(part);
  }
}

bool StepRunner::left_out(const Invocation& invocation) const {
  if (parts_.empty() || views_ != train_views_.get()) return false;
  const Part part = parts_[static_cast<size_t>(invocation.position())];
  return settling_ ? part == Part::step : settled_ && part == Part::update;
}

void StepRunner::settle() {
  if (settled_) return;
  settling_ = true;
  views_ = train_views_.get();
  run(*train_executor_);
  settling_ = false;
  settled_ = true;
}

}  // namespace strata
