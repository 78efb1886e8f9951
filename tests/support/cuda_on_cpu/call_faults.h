// SPDX-License-Identifier: Apache-2.0
// Faults of single calls into the libraries of the pretended GPU, and the counting of calls by which a test
// knows what there is to fail. Planned by plan_call_fault(), or for a whole program by the environment:
//   STRATA_CUDA_FAULT=<function>:<call>:<status>[:sticky|:later]   the call (from 1) of the function fails
//   STRATA_CUDA_CALLS=<file>    when the program ends: one line "<function> <calls>" for each function, and
//                               "held: <what> <how many>" for what was made and not given back
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace strata::cuda_on_cpu {

struct CallFault {
  // once: only this call. sticky: and every later call of the CUDA runtime that can, as after a fault of a
  // kernel. later: the call itself goes well; the next one that waits for the GPU, or asks it, finds the
  // fault, and then all do.
  enum class Kind { once, sticky, later };
  std::string function;
  int64_t call = 1;
  int status = 0;  // of the function's library
  Kind kind = Kind::once;
};

// Replaces the plan; nothing: no fault. Counts begin anew.
void plan_call_fault(std::optional<CallFault> fault);
bool call_fault_came();
std::map<std::string, int64_t> call_counts();

// What objects are alive, by kind ("stream", "event", ...); stand-ins say what they make and end.
void count_held(const char* kind, int change);
std::map<std::string, int64_t> held();

// Called by every stand-in first: counts the call, and gives the status with which it must fail (0: none). A
// function that gives something back does so all the same.
int call_fault(const char* function);

}  // namespace strata::cuda_on_cpu
