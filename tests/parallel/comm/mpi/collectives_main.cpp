// SPDX-License-Identifier: Apache-2.0
// Run under mpirun: every collective against the serial reference, on all ranks and on the groups of a mesh.
#include <fmt/core.h>

#include <cstdlib>
#include <string_view>
#include <thread>

#include "core/base/hash.h"
#include "parallel/comm/mpi_world.h"
#include "tests/parallel/comm/collective_cases.h"

namespace strata {
namespace {

std::string run(World& world, bool large) {
  if (large) return comm_cases::run_all(world, {.sizes = {530'003}, .only_f32 = true});
  for (const uint64_t seed : {1, 2})
    if (std::string wrong = comm_cases::run_all(world, {.seed = seed}); !wrong.empty()) return wrong;
  uint64_t state = hash_combine(3, static_cast<uint64_t>(world.rank()));
  const auto sleep = [&] {
    state = mix64(state);
    if (state % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(state >> 8 & 1023));
  };
  if (std::string wrong = comm_cases::run_all(world, {.sizes = {3, 1500}, .seed = 3, .between = sleep});
      !wrong.empty())
    return wrong;
  const MeshSizes mesh = world.size() == 8   ? MeshSizes{.pp = 2, .dp = 2, .tp = 2, .ep = 4}
                         : world.size() == 4 ? MeshSizes{.dp = 2, .tp = 2, .ep = 2}
                                             : MeshSizes{.dp = world.size()};
  return comm_cases::run_groups(world, Mesh(mesh), {.sizes = {0, 5, 1300}});
}

}  // namespace
}  // namespace strata

int main(int argc, char** argv) {
  using namespace strata;
  MpiOptions options;
  bool large = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    options.synchronous_sends |= argument == "--synchronous";
    large |= argument == "--large";
    if (argument == "--pieces") options.largest_message = std::atoi(argv[++i]);
  }
  const auto world = make_mpi_world(options);
  try {
    const std::string wrong = run(*world, large);
    if (wrong.empty()) {
      if (world->rank() == 0) fmt::print("{} ranks: all equal\n", world->size());
      return 0;
    }
    world->abort(wrong);
    fmt::print(stderr, "rank {}: {}\n", world->rank(), wrong);
  } catch (const JobAborted&) {
  } catch (const std::exception& error) {
    world->abort(error.what());
    fmt::print(stderr, "rank {}: {}\n", world->rank(), error.what());
  }
  world->terminate(1);
}
