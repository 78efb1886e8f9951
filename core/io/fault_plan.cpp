// SPDX-License-Identifier: Apache-2.0
#include "core/io/fault_plan.h"

namespace strata {

FaultPlan::Outcome FaultPlan::next(IoCall call, std::string_view path) {
  ++calls_;
  Outcome outcome;
  for (auto& [fault, matched] : faults_) {
    if (fault.call != IoCall::any && fault.call != call) continue;
    if (path.find(fault.path) == std::string_view::npos) continue;
    const int64_t index = matched++;
    if (index < fault.at || (fault.times >= 0 && index >= fault.at + fault.times)) continue;
    switch (fault.kind) {
      case IoFault::Kind::error:
        outcome.code = fault.code;
        break;
      case IoFault::Kind::short_transfer:
        outcome.short_transfer = true;
        break;
      case IoFault::Kind::flip_bit:
        outcome.flip_bit = true;
        break;
      case IoFault::Kind::delay:
        outcome.delay += fault.delay;
        break;
      case IoFault::Kind::crash:
        outcome.crash = true;
        break;
    }
  }
  return outcome;
}

}  // namespace strata
