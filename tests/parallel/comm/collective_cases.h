// SPDX-License-Identifier: Apache-2.0
// Every collective against a serial reference, for any World. Each member can make everybody's data by
// itself, so each checks what it got, bit for bit: sums against the tree written down as a recursion.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/dist/communicator.h"

namespace strata::comm_cases {

struct Options {
  std::vector<int64_t> sizes = {0, 1, 2, 3, 7, 33, 1000, 1025, 5003};  // elements per member
  bool only_f32 = false;
  uint64_t seed = 1;                                         // even: on streams with a thread of their own
  std::function<void()> between = {};                        // called before every operation: random sleeps
  std::shared_ptr<Allocator> memory = make_cpu_allocator();  // where tensors lie: of the stream's device
};

// Runs every operation, type and size on a communicator of all ranks of `world`. Returns what was wrong,
// empty when nothing. All ranks call it alike.
std::string run_all(World& world, const Options& options);
std::string run_all(Communicator& comm, Stream& stream, const Options& options);

// The same on every communicator of `mesh`'s axes and on reversed member lists, several alive at once.
std::string run_groups(World& world, const Mesh& mesh, const Options& options);

}  // namespace strata::comm_cases
