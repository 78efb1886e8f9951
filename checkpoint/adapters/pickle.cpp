// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/adapters/pickle.h"

#include "checkpoint/adapters/pickle_machine.h"

namespace strata {
const PickleNode* Pickle::find(const PickleNode& dict, std::string_view key) const {
  using Kind = PickleNode::Kind;
  if (dict.kind != Kind::dict) return nullptr;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2)
    if (const PickleNode& name = nodes[dict.items[i]]; name.kind == Kind::text && name.text == key)
      return &nodes[dict.items[i + 1]];
  return nullptr;
}

Pickle read_pickle(FileBytes& bytes, const std::string& where, const PickleLimits& limits) {
  return PickleMachine(bytes, where, limits).run();
}

}  // namespace strata
