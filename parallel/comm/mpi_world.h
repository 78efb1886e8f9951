// SPDX-License-Identifier: Apache-2.0
// Ranks as the processes of an MPI job. Ranks and sizes come from MPI itself; what launchers put into the
// environment is only compared with it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "core/dist/communicator.h"

namespace strata {

struct MpiOptions {
  // Sends end only when their receives have begun, so that a program which needs the library to buffer is
  // found.
  bool synchronous_sends = false;
  // Every operation once, checked, before any real one.
  bool self_test = true;
  // Larger messages are sent in pieces, all at once: counts of MPI are 32-bit, and a polled MPI moves bytes
  // only when it is looked at, which is done eagerly while pieces end (64 MiB in one message between two
  // ranks of a machine: 50 times slower).
  int64_t largest_message = int64_t{1} << 20;
  // How long ranks of an aborted job may take to stop by themselves.
  std::chrono::milliseconds grace{5000};
};

// Whether this program was built with MPI (mpi_world.cpp, or no_mpi_world.cpp).
bool has_mpi();
// Its name and version, "Open MPI v4.1.4"; empty when built without.
std::string mpi_library();

// Starts MPI; once per process, before it starts threads. Throws Error(environment) when MPI cannot serve
// several threads, when a launcher's variables contradict it, or when the self test fails; the message names
// the remedy.
//
// A thread of the world's own carries aborts to the other ranks. Its destructor waits for all ranks, unless
// the job was aborted; then terminate() ends the job.
std::unique_ptr<World> make_mpi_world(const MpiOptions& options = {});

}  // namespace strata
