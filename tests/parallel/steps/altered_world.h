// SPDX-License-Identifier: Apache-2.0
// A world that does some of what it is asked for wrong: the teeth of the comparisons.
#pragma once

#include <functional>
#include <memory>

#include "core/dist/communicator.h"

namespace strata {

// Done alike on all ranks of the job, so that they still meet. Empty functions alter nothing.
struct Alteration {
  // The communicator that `spec` asks for is made of these members instead.
  std::function<void(GroupSpec& spec)> group;
  // In place of an operation: may call `run` or not, and change what lies in its tensors.
  std::function<void(const GroupSpec& spec, const Collective& op, const std::function<void()>& run)>
      operation;
};

// `world` and `alteration` must outlive the result.
std::unique_ptr<World> alter(World& world, const Alteration& alteration);

}  // namespace strata
