// SPDX-License-Identifier: Apache-2.0
// Several processes as one program: they start together, fail with one message, and end together.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/device/buffer.h"
#include "core/dist/communicator.h"
#include "parallel/comm/flight_recorder.h"

namespace strata {

struct Job {
  World& bare;   // the ranks, on the host's memory
  World& world;  // the same, each operation recorded and, when debugging, compared over its members
  FlightRecorder& recorder;  // what this rank's communicators did last
  bool fingerprints = false;
};

// A job of one rank, or of ranks that a test made.
inline Job job_of(World& world, FlightRecorder& recorder) { return {world, world, recorder}; }

// make_device_world() for the job: operations on a device are recorded and compared as those on the host are.
// Those that go through the host are recorded once, as what was asked for.
std::unique_ptr<World> make_device_world(const Job& job, Device device,
                                         const std::shared_ptr<Allocator>& host_memory, bool ordered,
                                         std::string* why);

// Runs `body` on the ranks that a launcher (mpirun, srun) started together, or on one. With several, whatever
// leaves `body` on one rank stops all of them; one rank prints the cause on standard error, and every process
// ends with the fault's exit code. With one rank exceptions pass.
int run_job(const std::function<int(const Job&)>& body);

// `text` of every rank, by rank. Collective.
std::vector<std::string> gather_text(Communicator& everyone, const std::string& text);

// The words of all ranks must be the same: `text` of rank 0 is what the others are compared with. Collective;
// throws Error(environment) naming the ranks that differ and how. `what` says what is compared.
void require_same(Communicator& everyone, const std::string& what, const std::string& text);

// Before any weight is allocated: one build, one configuration, one instruction set where bits matter.
struct PreflightFacts {
  std::string build;          // version and kind of build
  std::string configuration;  // effective
  std::string isa;
  bool isa_matters = false;
};
void preflight(Communicator& everyone, const PreflightFacts& facts);

}  // namespace strata
