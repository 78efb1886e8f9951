// SPDX-License-Identifier: Apache-2.0
// What the ranks of a run tell each other between steps. All of it is collective.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/dist/communicator.h"

namespace strata {

// Of all ranks of the job, for one purpose.
std::unique_ptr<Communicator> make_everyone(World& world, const std::string& purpose);

// Every rank's value, on a stream of the host.
std::vector<int64_t> of_all_ranks(Communicator& everyone, Stream& host, int64_t own);

// Which of the ranks of its machine the own one is, and how many there are.
int rank_on_machine(Communicator& everyone, const World& world);
int ranks_on_machine(Communicator& everyone, const World& world);

}  // namespace strata
