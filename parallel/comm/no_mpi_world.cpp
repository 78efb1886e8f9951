// SPDX-License-Identifier: Apache-2.0
// Where MPI was not found at build time.
#include "core/base/error.h"
#include "parallel/comm/mpi_world.h"

namespace strata {

std::string mpi_library() { return ""; }
bool has_mpi() { return false; }

std::unique_ptr<World> make_mpi_world(const MpiOptions&) {
  throw Error(Fault::environment, {.what = "this program was built without MPI and runs as one process",
                                   .fix = "apt-get install libopenmpi-dev openmpi-bin, then build again"});
}

}  // namespace strata
