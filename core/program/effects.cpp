// SPDX-License-Identifier: Apache-2.0
#include "core/program/effects.h"

namespace strata {

std::string_view name(Access access) {
  constexpr std::array<std::string_view, 5> names{"reads", "creates", "updates", "accumulates into", "frees"};
  return names[static_cast<size_t>(access)];
}

namespace {

constexpr Access read = Access::read, create = Access::create, update = Access::update;

// Collects the effects of one action; a value that does not exist for its block is left out.
class Collector {
 public:
  Collector(const Action& action, std::span<const BlockInfo> blocks)
      : action_(action), blocks_(blocks), b_(action.block) {}

  EffectList collect() {
    switch (action_.kind) {
      case Kind::begin:
      case Kind::total:
      case Kind::clip:
        scalars(update);
        break;
      case Kind::gather:
        persistent(ValueClass::weight, b_, read, block().weight_level);
        persistent(ValueClass::weight, b_, create);
        break;
      case Kind::forward:
        input(read);
        weights();
        activation(ValueClass::x, b_ + 1, create);
        if (action_.keep == Keep::save) saved(create, create);
        break;
      case Kind::recompute:
        input(read);
        weights();
        saved(create, create);
        break;
      case Kind::backward_input:
        activation(ValueClass::dx, b_ + 1, read);
        input(read);
        saved(read, read);
        weights();
        activation(ValueClass::dx, b_, create);
        deferred(create);
        break;
      case Kind::backward_weight:
        activation(ValueClass::dx, b_ + 1, read);
        input(read);
        if (block().saves_weight) activation(ValueClass::saved_weight, b_, read);
        deferred(read);
        gradients();
        break;
      case Kind::loss:
        input(read);
        weights();
        activation(ValueClass::dx, b_, create);
        gradients();
        scalars(update);
        break;
      case Kind::loss_only:
        input(read);
        weights();
        scalars(update);
        break;
      case Kind::send:
        activation(action_.cls, b_, read);
        break;
      case Kind::receive:
        activation(action_.cls, b_, create);
        break;
      case Kind::reduce:
        if (action_.to != action_.level) gradient(b_, action_.slot, action_.level, read);
        gradient(b_, action_.slot, action_.to,
                 action_.to == action_.level         ? update
                 : action_.write == Write::overwrite ? create
                                                     : Access::accumulate);
        break;
      case Kind::complete:
        gradient(b_, -1, block().state_level, update);
        break;
      case Kind::fold:
        check(action_.slot != action_.with, "[effects] `{}` adds a sum to itself", action_);
        gradient(b_, action_.slot, block().grad_level, Access::accumulate);
        gradient(b_, action_.with, block().grad_level, read);
        break;
      case Kind::tie:
        gradient(b_, -1, block().state_level, update);
        if (action_.peer < 0 && block().twin >= 0)
          gradient(block().twin, -1, blocks_[static_cast<size_t>(block().twin)].state_level, update);
        break;
      case Kind::norm:
        gradient(b_, -1, block().state_level, read);
        scalars(update);
        break;
      case Kind::update:
        scalars(read);
        gradient(b_, -1, block().state_level, read);
        persistent(ValueClass::weight, b_, update, block().weight_level);
        if (block().has_master) persistent(ValueClass::master, b_, update, block().state_level);
        if (block().has_moments) persistent(ValueClass::moments, b_, update, block().state_level);
        break;
      case Kind::spread:
        persistent(ValueClass::weight, b_, update, block().weight_level);
        break;
      case Kind::pack:
        persistent(ValueClass::weight, b_, read);
        persistent(ValueClass::packed, b_, block().keeps_packed() ? update : create);
        break;
      case Kind::load:
        list_.add(moved_from(action_), read);
        list_.add(moved_to(action_), create);
        break;
      case Kind::store:
        list_.add(moved_from(action_), read);
        list_.add(moved_to(action_), comes_home() ? update : create);
        // A step's new versions, whose turn to count comes together.
        if (action_.onto == Tier::nvme && strata::persistent(action_.cls)) versions(Access::accumulate);
        break;
      case Kind::commit:
        versions(update);
        break;
      case Kind::free:
        list_.add(freed_value(action_), Access::free);
        break;
    }
    return list_;
  }

 private:
  const BlockInfo& block() const { return blocks_[static_cast<size_t>(b_)]; }

  void activation(ValueClass cls, int b, Access access) {
    list_.add({.cls = cls, .block = static_cast<int16_t>(b), .micro_batch = action_.micro_batch}, access);
  }
  void persistent(ValueClass cls, int b, Access access, uint8_t level = 0) {
    list_.add({.cls = cls, .block = static_cast<int16_t>(b), .level = level}, access);
  }
  void gradient(int b, int16_t slot, uint8_t level, Access access) {
    list_.add(
        {.cls = ValueClass::grad, .block = static_cast<int16_t>(b), .micro_batch = slot, .level = level},
        access);
  }
  // Over what is there; elsewhere a store makes a copy.
  bool comes_home() const {
    return b_ >= 0 && b_ < static_cast<int>(blocks_.size()) && strata::persistent(action_.cls) &&
           action_.onto == block().home(action_.cls);
  }
  void versions(Access access) { list_.add({.cls = ValueClass::map, .tier = Tier::nvme}, access); }
  void scalars(Access access) { list_.add({.cls = ValueClass::scalars}, access); }
  void input(Access access) {
    if (b_ > 0) activation(ValueClass::x, b_, access);
  }
  void saved(Access for_input, Access for_weight) {
    if (block().saves_input) activation(ValueClass::saved_input, b_, for_input);
    if (block().saves_weight) activation(ValueClass::saved_weight, b_, for_weight);
  }
  void deferred(Access access) {
    if (b_ > 0 && block().defers) activation(ValueClass::deferred, b_, access);
  }
  // Calls visit(b) for the block and the block it is tied to.
  template <typename Visit>
  void with_tied(Visit visit) {
    visit(b_);
    if (block().tied_to >= 0) visit(block().tied_to);
  }
  void weights() {
    with_tied([&](int b) {
      const BlockInfo& owner = blocks_[static_cast<size_t>(b)];
      if (owner.has_parameters) persistent(ValueClass::weight, b, read);
      if (owner.has_parameters && owner.packed) persistent(ValueClass::packed, b, read);
    });
  }
  void gradients() {
    with_tied([&](int b) {
      if (blocks_[static_cast<size_t>(b)].trainable)
        gradient(b, action_.slot, 0, action_.write == Write::overwrite ? create : Access::accumulate);
    });
  }

  const Action& action_;
  std::span<const BlockInfo> blocks_;
  int b_;
  EffectList list_;
};

}  // namespace

EffectList effects(const Action& action, std::span<const BlockInfo> blocks) {
  const KindInfo& kind = info(action.kind);
  const int num_blocks = static_cast<int>(blocks.size());
  check(!kind.block || kind.value || (action.block >= 0 && action.block < num_blocks),
        "[effects] `{}` in a model of {} blocks", action, num_blocks);
  check(!is_move(action) || action.tier != action.onto, "[effects] `{}` moves nothing", action);
  return Collector(action, blocks).collect();
}

}  // namespace strata
