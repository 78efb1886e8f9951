// SPDX-License-Identifier: Apache-2.0
// Any rank of a job of any size, for planning: its communicators work on meta streams only. A plan for ten
// thousand ranks needs none of them.
#pragma once

#include <memory>

#include "core/dist/communicator.h"

namespace strata {

std::unique_ptr<World> make_plan_world(int rank, int size);

}  // namespace strata
